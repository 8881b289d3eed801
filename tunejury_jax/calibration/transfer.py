"""Whether anchors hold for battles that they were not fitted to: left-out folds, and other months."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from tunejury_jax.calibration.agreement import difference, points
from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.calibration.battles import Battles
from tunejury_jax.calibration.fit import Prior
from tunejury_jax.metrics import log_loss

__all__ = ["FOLDS", "out_of_fold", "transfer"]

FOLDS = 10


def out_of_fold(battles: Battles, prior: Prior | None = None, seed: int = 0) -> Float64[np.ndarray, " battles"]:
    """The logit of each battle by anchors that were fitted to the nine tenths of the battles that it is not in.

    Args:
        battles: Any number.
        prior: By default the published one.
        seed: Of the deal into tenths; with fewer battles than that, each is left out by itself.
    """
    logits = np.zeros(len(battles.ids))
    deal = np.random.default_rng(seed).permutation(len(logits))
    for fold in filter(len, np.array_split(deal, FOLDS)):
        anchors = Anchors.fit(battles.take(np.setdiff1d(deal, fold)), prior)
        logits[fold] = anchors.calibrate(battles.take(fold)).logit
    return logits


def transfer(
    battles: Battles, months: Sequence[str], month: Int[np.ndarray, " battles"], prior: Prior | None = None
) -> list[dict[str, Any]]:
    """Anchors of each month, judged on each month.

    Args:
        battles: Of all months.
        months: Their names.
        month: Place of each battle's month among them.
        prior: By default the published one.

    Returns:
        A row a pair of months: `fitted_on`, `judged_on`, agreement `before` and `after` the correction, `change` with
        its interval and McNemar's `p`, `log_loss` before and after, and how many battles had both systems `known`. A
        month is judged on itself by left-out folds.
    """
    parts = [battles.take(np.flatnonzero(month == code)) for code in range(len(months))]
    fitted = [Anchors.fit(part, prior) for part in parts]
    rows = []
    for i, anchors in enumerate(fitted):
        for j, part in enumerate(parts):
            calibrated = anchors.calibrate(part)
            judged = _judged(part, out_of_fold(part, prior) if i == j else calibrated.logit)
            known = int(calibrated.known.sum())
            rows.append({"fitted_on": months[i], "judged_on": months[j], "known": known, **judged})
    return rows


def _judged(battles: Battles, logit: Float64[np.ndarray, " battles"]) -> dict[str, Any]:
    targets = battles.a_won.astype(np.float64)
    losses = {name: log_loss(values, targets) for name, values in (("before", battles.margin), ("after", logit))}
    return {**difference(points(battles), points(battles._replace(margin=logit))), "log_loss": losses}
