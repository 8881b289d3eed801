"""Where a head and the listeners disagree: over all battles, system by system, by the size of the margin."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit
from scipy.stats import binomtest

from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.calibration.battles import Battles
from tunejury_jax.evaluation.estimates import Estimate, estimate_mean, estimate_share
from tunejury_jax.metrics import mcnemar, outcomes

__all__ = ["EDGES", "agreement", "by_margin", "by_system", "difference", "points", "swing"]

EDGES = (0.0, 0.1, 0.3, 0.5, 0.8, 1.2, 2.0, 4.0)
"""Lower ends of the bins of |margin|, in reward units (spec.md section 4); the last bin has no upper end."""

Points = Float[np.ndarray, " battles"]


def points(battles: Battles) -> Points:
    """1 where the head chose as the listener did, 0 where not, 1/2 where its margin is 0."""
    return outcomes(battles.margin, battles.a_won.astype(np.float64)) if battles.ids else np.zeros(0)


def agreement(battles: Battles) -> Estimate:
    """Share of battles in which the head chose as the listener did."""
    return estimate_share(points(battles))


def by_system(battles: Battles) -> list[dict[str, Any]]:
    """How often the head misses that a system won, and how often it favours one that lost.

    Returns:
        A row a system that met another: `missed` is the share of the battles it won that the head gave to the other
        side, `favoured` that of those it lost which the head gave to it, both with Wilson intervals; `p` has the exact
        binomial tests that either share is 1/2 and that a disagreement goes either way alike (`lean`); `lean` is the
        win rate that the head gives it less the one that the listeners gave it.
    """
    right = points(battles)
    rows = (_system(battles, right, code) for code in range(len(battles.systems)))
    return [row for row in rows if row["battles"]]


def by_margin(battles: Battles, edges: Sequence[float] = EDGES) -> list[dict[str, Any]]:
    """Agreement in bins of |margin|, beside the one that the margins promise: the mean of sigmoid(|margin|).

    Args:
        battles: Any.
        edges: Lower ends of the bins, rising from 0; a bin does not hold its upper end.
    """
    right, size = points(battles), np.abs(battles.margin)
    place = np.searchsorted(edges, size, side="right") - 1
    return [_bin(lo, hi, right[place == i], size[place == i]) for i, (lo, hi) in enumerate(_bounds(edges))]


def swing(battles: Battles, anchors: Anchors) -> list[dict[str, Any]]:
    """What anchors change, system by system: agreement before and after, and McNemar's test of the difference."""
    calibrated = battles._replace(margin=anchors.calibrate(battles).logit)
    before, after = points(battles), points(calibrated)
    meets = ((battles.system_a == code) ^ (battles.system_b == code) for code in range(len(battles.systems)))
    return [
        {"system": name, "known": name in anchors.systems, **difference(before[rows], after[rows])}
        for name, rows in zip(battles.systems, meets, strict=True)
        if rows.any()
    ]


def difference(before: Points, after: Points) -> dict[str, Any]:
    """Two ways to judge the same battles: the agreement of each, and of their difference interval and McNemar's p."""
    test = mcnemar(after == 1, before == 1) if len(before) else None
    return {
        "before": estimate_share(before)._asdict(),
        "after": estimate_share(after)._asdict(),
        "change": _mean(after - before)._asdict(),
        "p": test.p if test else None,
    }


def _system(battles: Battles, right: Points, code: int) -> dict[str, Any]:
    is_a = battles.system_a == code
    met = is_a ^ (battles.system_b == code)
    won = met & (battles.a_won == is_a)
    lost = met & ~won
    missed, favoured = int((right[won] == 0).sum()), int((right[lost] == 0).sum())
    leaning = np.where(won, right - 1, 1 - right)[met]
    return {
        "system": battles.systems[code],
        "battles": int(met.sum()),
        "missed": estimate_share(1 - right[won])._asdict(),
        "favoured": estimate_share(1 - right[lost])._asdict(),
        "disagreements": {"missed": missed, "favoured": favoured},
        "p": {
            "missed": _even(missed, int((right[won] == 1).sum())),
            "favoured": _even(favoured, int((right[lost] == 1).sum())),
            "lean": _even(missed, favoured),
        },
        "lean": _mean(leaning)._asdict(),
    }


def _even(one: int, other: int) -> float | None:
    """Exact p of two counts being drawn with equal chances."""
    return float(binomtest(one, one + other).pvalue) if one + other else None


def _bounds(edges: Sequence[float]) -> Iterator[tuple[float, float | None]]:
    yield from zip(edges, [*edges[1:], None], strict=True)


def _bin(lo: float, hi: float | None, right: Points, size: Points) -> dict[str, Any]:
    promised = float(expit(size).mean()) if len(size) else None
    return {"lo": lo, "hi": hi, "accuracy": estimate_share(right)._asdict(), "promised": promised}


def _mean(values: Points) -> Estimate:
    """The mean; one battle tells nothing about its interval."""
    if len(values) > 1:
        return estimate_mean(values)
    return Estimate(float(values[0]) if len(values) else None, None, None, len(values), None)
