"""Everything that is measured from the margins of some held-out pairs.

Intervals are at 95 %: of shares Wilson's, of quantiles from order statistics, of all else the percentile bootstrap.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import binom

from tunejury_jax.metrics import accuracy, log_losses, mcnemar, outcomes, reliability, squared_errors, wilson
from tunejury_jax.redraws import Redrawn, calibration_error_of, mean_of, redraw

__all__ = ["Judged", "Margins", "compared", "measured", "quantiles", "scaled"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

Margins = Float[np.ndarray, " pairs"]


class Judged(NamedTuple):
    """What a head says of some pairs, and what listeners said.

    Attributes:
        margins: s(A) - s(B).
        targets: P(A preferred).
        empty: The margins with every prompt zeroed; None of a head that reads no prompt.
        prompted: Of which pairs the head sees a prompt.
    """

    margins: Margins
    targets: Margins
    empty: Margins | None
    prompted: Bool[np.ndarray, " pairs"]

    def of(self, pairs: Bool[np.ndarray, " pairs"]) -> "Judged":
        """Some of the pairs."""
        empty = None if self.empty is None else self.empty[pairs]
        return Judged(self.margins[pairs], self.targets[pairs], empty, self.prompted[pairs])


def measured(judged: Judged) -> dict[str, Any]:
    """All but accuracy: how probable the answers were held to be, the sizes of the margins, what prompts change.

    Raises:
        ValueError: No pair is decisive.
    """
    errors = {name: found.estimate() for name, found in _errors(judged.margins, judged.targets).items()}
    return {
        **errors,
        "bins": _bins(judged),
        "margins": _sizes(judged),
        "prompt": None if judged.empty is None else _prompt(judged, judged.empty),
    }


def compared(first: Margins, second: Margins, targets: Margins) -> dict[str, Any]:
    """Accuracy of one protocol above that of another on the same pairs: with its interval, and McNemar's test.

    Args:
        first: Margins under the one.
        second: Margins under the other.
        targets: P(A preferred).
    """
    a, b = outcomes(first, targets), outcomes(second, targets)
    found = redraw({"first": mean_of(a), "second": mean_of(b)}, len(a))
    return {**(found["first"] - found["second"]).estimate(), **mcnemar(a == 1, b == 1)._asdict()}


def scaled(judged: Judged, temperature: float) -> dict[str, Any]:
    """Errors of the probabilities before and after a temperature, and the change, which is paired."""
    before = _errors(judged.margins, judged.targets)
    after = _errors(judged.margins / temperature, judged.targets)
    return {
        "before": {name: found.estimate() for name, found in before.items()},
        "after": {name: found.estimate() for name, found in after.items()},
        "change": {name: (after[name] - found).estimate() for name, found in before.items()},
    }


def quantiles(values: Margins, shares: Sequence[float] = QUANTILES) -> list[dict[str, float]]:
    """Quantiles of at least one value, each between two order statistics that hold it with 95 % (Conover, Practical
    Nonparametric Statistics, 3.2); of few values these are the smallest and the largest, which hold it less often.
    """
    ordered, n = np.sort(values), len(values)
    low = np.clip(binom.ppf(0.025, n, shares).astype(int) - 1, 0, n - 1)
    high = np.clip(binom.ppf(0.975, n, shares).astype(int), 0, n - 1)
    columns = (shares, np.quantile(values, shares).tolist(), ordered[low].tolist(), ordered[high].tolist())
    return [dict(zip(("share", "value", "low", "high"), row, strict=True)) for row in zip(*columns, strict=True)]


def _errors(margins: Margins, targets: Margins) -> dict[str, Redrawn]:
    """Log loss and Brier score of all pairs, ECE of the decisive ones: those are redrawn apart, since a small split
    redrawn with its ties could come to nothing but ties."""
    rows = {"log_loss": log_losses(margins, targets), "brier": squared_errors(margins, targets)}
    outcome, sizes = outcomes(margins, targets), np.abs(margins[targets != 0.5])
    of_all = redraw({name: mean_of(values) for name, values in rows.items()}, len(margins))
    return {**of_all, **redraw({"ece": calibration_error_of(sizes, outcome)}, len(sizes))}


def _bins(judged: Judged) -> list[dict[str, float]]:
    found = [row._asdict() for row in reliability(judged.margins, judged.targets)]
    return [{**row, **wilson(row["accuracy"] * row["n"], row["n"])._asdict()} for row in found]


def _sizes(judged: Judged) -> dict[str, Any]:
    decisive = judged.targets != 0.5
    outcome = np.full(len(decisive), np.nan)
    outcome[decisive] = outcomes(judged.margins, judged.targets)
    kinds = {"all": decisive | ~decisive, "right": outcome == 1, "wrong": outcome == 0, "ties": ~decisive}
    sizes = {name: np.abs(judged.margins[own]) for name, own in kinds.items()}
    return {name: {"n": len(own), "quantiles": quantiles(own) if len(own) else []} for name, own in sizes.items()}


def _prompt(judged: Judged, empty: Margins) -> dict[str, Any]:
    a, b = (outcomes(margins, judged.targets) == 1 for margins in (judged.margins, empty))
    return {
        "prompted": int(judged.prompted.sum()),
        "empty": accuracy(empty, judged.targets)._asdict(),
        "difference": compared(judged.margins, empty, judged.targets),
        "table": {
            "both_right": int((a & b).sum()),
            "only_with_prompt": int((a & ~b).sum()),
            "only_without": int((~a & b).sum()),
            "neither_right": int((~a & ~b).sum()),
        },
    }
