"""Numbers with 95 % intervals, and which kind of interval each has.

Correlations: percentile bootstrap over rows; redraws in which a side is constant have no correlation and are left
out. From `MANY_ROWS` on a thousand redraws take minutes, so the rows are dealt at random into `BATCHES` parts and the
interval is Student's t of the parts' values around the value of all rows, if all parts have one. Accuracies: Wilson's,
but with half points the bootstrap of the mean, since a share with halves is no count; the mean of many rows is as
good as normal, so there it is Student's t.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tunejury_jax.metrics import bootstrap, wilson

__all__ = ["Estimate", "estimate_mean", "estimate_rows", "estimate_share"]

REDRAWS = 1000
MANY_ROWS = 20_000
BATCHES = 50

Rows = Float[np.ndarray, " rows"]
Statistic = Callable[[Rows, Rows], float]


class Estimate(NamedTuple):
    """A value and its 95 % interval.

    Attributes:
        value: None where it is not defined.
        low: None where there is no interval.
        high: Likewise.
        n: Rows that it was taken from.
        interval: `bootstrap`, `batches`, `wilson`, `student`, or None where there is none.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    interval: str | None

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


def estimate_rows(statistic: Statistic, x: Rows, y: Rows, seed: int = 0, constant_x: bool = False) -> Estimate:
    """A correlation of two equally long lists.

    Args:
        statistic: Of x and y. It is not defined for fewer than two rows, or where a list is constant.
        x: Finite numbers.
        y: Likewise.
        seed: Of the redraws.
        constant_x: The statistic is defined for a constant x, as an accuracy of its order is.
    """

    def defined(x: Rows, y: Rows) -> bool:
        return _varies(y) and (constant_x or _varies(x))

    if not defined(x, y):
        return Estimate(None, None, None, len(x), None)
    value = statistic(x, y)
    generator = np.random.default_rng(seed)
    many = len(x) >= MANY_ROWS
    parts = np.array_split(generator.permutation(len(x)), BATCHES) if many else _redraws(generator, len(x))
    values = np.array([statistic(x[rows], y[rows]) for rows in parts if defined(x[rows], y[rows])])
    return _around(value, values, len(x)) if many else _within(value, values, len(x))


def estimate_share(outcomes: Rows, seed: int = 0) -> Estimate:
    """An accuracy of outcomes 1, 0.5 and 0."""
    n, successes = len(outcomes), float(outcomes.sum())
    if not n:
        return Estimate(None, None, None, 0, None)
    if (outcomes == 0.5).any():
        return estimate_mean(outcomes, seed)
    return Estimate(successes / n, *wilson(successes, n), n, "wilson")


def estimate_mean(values: Rows, seed: int = 0) -> Estimate:
    """A mean of at least one value."""
    if len(values) >= MANY_ROWS:
        return _students(values)
    low, high = bootstrap(lambda redrawn: float(redrawn.mean()), values, samples=REDRAWS, seed=seed)
    return Estimate(float(values.mean()), low, high, len(values), "bootstrap")


def _varies(values: Rows) -> bool:
    return len(values) > 1 and bool(values.min() < values.max())


def _redraws(generator: np.random.Generator, n: int) -> Iterator[Int[np.ndarray, " rows"]]:
    return (generator.integers(0, n, n) for _ in range(REDRAWS))


def _within(value: float, draws: Rows, n: int) -> Estimate:
    if not len(draws):
        return Estimate(value, None, None, n, None)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value, float(low), float(high), n, "bootstrap")


def _students(values: Rows) -> Estimate:
    from scipy.special import stdtrit

    n, value = len(values), float(values.mean())
    half = float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(value, value - half, value + half, n, "student")


def _around(value: float, parts: Rows, n: int) -> Estimate:
    """Parts of a random deal are independent, so the values' variance over their number is that of the whole's."""
    from scipy.special import stdtrit

    if len(parts) < BATCHES:
        return Estimate(value, None, None, n, None)
    half = float(stdtrit(BATCHES - 1, 0.975) * parts.std(ddof=1) / np.sqrt(BATCHES))
    return Estimate(value, value - half, value + half, n, "batches")
