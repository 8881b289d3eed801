"""How hard battles are by themselves: close margins, systems of equal strength, what systems alone can tell."""

from typing import Any

import numpy as np
from scipy.special import expit

from tunejury_jax.calibration.agreement import points
from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.calibration.battles import Battles
from tunejury_jax.calibration.fit import Prior
from tunejury_jax.calibration.transfer import out_of_fold
from tunejury_jax.evaluation.estimates import estimate_mean, estimate_share

__all__ = ["CLOSE", "difficulty", "sizes"]

CLOSE = (0.5, 1.0)
"""In reward units: margins under them promise 62 % and 73 % at most."""
THIRDS = ("closest third", "middle third", "clearest third")


def difficulty(battles: Battles, prior: Prior | None = None) -> dict[str, Any]:
    """What makes battles hard to call, whichever head calls them.

    Args:
        battles: At least one.
        prior: Of the offsets, by default the published one.

    Returns:
        `agreement` of the head; `promised`, what its margins say that agreement is, mean sigmoid(|margin|);
        `same_system`, battles of a system with itself; `systems_alone` and `anchored`,
        agreement out of fold of the systems' strengths without any margin, and of margins with anchors; `margins`, see
        `sizes`; `by_strength`, the head's agreement in thirds of the battles by how far apart the strengths of the two
        systems are.

    Raises:
        ValueError: There is no battle.
    """
    if not battles.ids:
        raise ValueError("labels: no battle")
    blind = battles._replace(margin=np.zeros(len(battles.ids)))
    return {
        "agreement": estimate_share(points(battles))._asdict(),
        "promised": estimate_mean(expit(np.abs(battles.margin)))._asdict(),
        "margins": sizes(battles),
        "same_system": int((battles.system_a == battles.system_b).sum()),
        "systems_alone": _agreement(battles, out_of_fold(blind, prior)),
        "anchored": _agreement(battles, out_of_fold(battles, prior)),
        "by_strength": _by_strength(battles, np.abs(Anchors.fit(blind, prior).calibrate(blind).logit)),
    }


def sizes(battles: Battles) -> dict[str, Any]:
    """How large the margins of at least one battle are: mean and median of |margin|, shares under 0.5 and 1."""
    size = np.abs(battles.margin)
    close = {f"under_{limit:g}": estimate_share((size < limit).astype(np.float64))._asdict() for limit in CLOSE}
    return {"n": len(size), "mean": float(size.mean()), "median": float(np.median(size)), **close}


def _agreement(battles: Battles, logit: Any) -> dict[str, Any]:
    return estimate_share(points(battles._replace(margin=logit)))._asdict()


def _by_strength(battles: Battles, apart: Any) -> list[dict[str, Any]]:
    """Battles of one pair of systems stay together, since they are equally far apart."""
    right, cuts = points(battles), np.quantile(apart, [1 / 3, 2 / 3])
    third = np.searchsorted(cuts, apart, side="left")
    return [
        {"battles": name, "accuracy": estimate_share(right[third == place])._asdict()}
        for place, name in enumerate(THIRDS)
    ]
