r"""How alike two lists of numbers are ordered: counts of pairs, Kendall's tau-b, pairwise accuracy, Pearson's r.

All pairs of rows are counted in $O(n \log n)$: among rows sorted by x, a pair is discordant where y falls, and falls
are counted bit by bit of y's ranks. Spearman's coefficient is in `tunejury_jax.metrics`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num

from tunejury_jax.metrics import spearman

__all__ = ["COEFFICIENTS", "PairCounts", "count_pairs", "kendall", "pairwise_accuracy", "pearson"]

Rows = Float[np.ndarray, " rows"]


class PairCounts(NamedTuple):
    """All pairs of rows by how x and y order them.

    Attributes:
        concordant: Ordered alike.
        discordant: Ordered oppositely.
        tied_x: Equal in x alone.
        tied_y: Equal in y alone.
        tied_both: Equal in both.
    """

    concordant: int
    discordant: int
    tied_x: int
    tied_y: int
    tied_both: int


def count_pairs(x: Rows, y: Rows) -> PairCounts:
    """Counts the n (n - 1) / 2 pairs of rows, exactly.

    Raises:
        ValueError: Lengths differ, or a value is not finite.
    """
    _check(x, y)
    (ranks_x, equal_x), (ranks_y, equal_y) = _ranks(x), _ranks(y)
    _, both = np.unique(ranks_x * (len(x) + 1) + ranks_y, return_counts=True)
    pairs, tied_x, tied_y, tied_both = (_pairs(counts) for counts in (np.array([len(x)]), equal_x, equal_y, both))
    # Sorted by y within equal x, so that such a pair is no fall.
    falls = _falls(ranks_y[np.lexsort((ranks_y, ranks_x))])
    concordant = pairs - tied_x - tied_y + tied_both - falls
    return PairCounts(concordant, falls, tied_x - tied_both, tied_y - tied_both, tied_both)


def kendall(x: Rows, y: Rows) -> float:
    r"""Kendall's tau-b (Biometrika 33, 1945).

    $\tau_b = (C - D) / \sqrt{(C + D + T_x) (C + D + T_y)}$, with $T$ the pairs equal in that list alone.

    Raises:
        ValueError: Lengths differ, a value is not finite, or a list is constant and so has no order to compare.
    """
    counts = count_pairs(x, y)
    ordered = counts.concordant + counts.discordant
    _require_order(ordered + counts.tied_y, x, "x")
    _require_order(ordered + counts.tied_x, y, "y")
    scale = float(ordered + counts.tied_x) ** 0.5 * float(ordered + counts.tied_y) ** 0.5
    return (counts.concordant - counts.discordant) / scale


def pairwise_accuracy(scores: Rows, ratings: Rows) -> float:
    """Share of pairs of rows that the scores order as the ratings do.

        (C + T_scores / 2) / (C + D + T_scores)

    Pairs of equal ratings have no right answer and are left out; equal scores under different ratings count 1/2.

    Raises:
        ValueError: Lengths differ, a value is not finite, or all ratings are equal.
    """
    counts = count_pairs(scores, ratings)
    judged = counts.concordant + counts.discordant + counts.tied_x
    _require_order(judged, ratings, "ratings")
    return (counts.concordant + counts.tied_x / 2) / judged


def pearson(x: Rows, y: Rows) -> float:
    """Pearson's correlation coefficient.

    Raises:
        ValueError: Lengths differ, a value is not finite, or a list is constant.
    """
    _check(x, y)
    for name, values in (("x", x), ("y", y)):
        _require_order(int(values.min() < values.max()), values, name)
    # To within +-1 first, since squares of large numbers overflow and a constant far from 0 swallows the rest.
    centred = [values / np.abs(values).max() for values in (x - x.mean(), y - y.mean())]
    a, b = (values / np.linalg.norm(values) for values in centred)
    return float(np.clip(a @ b, -1, 1))


COEFFICIENTS = {"srcc": spearman, "lcc": pearson, "ktau": kendall}
"""The three that are reported, by the names that the benchmarks give them."""


def _ranks(values: Rows) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " values"]]:
    _, ranks, counts = np.unique(values, return_inverse=True, return_counts=True)
    return ranks, counts


def _pairs(counts: Num[np.ndarray, " groups"]) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _falls(ranks: Int[np.ndarray, " rows"]) -> int:
    """Pairs of places i < j with ranks[i] > ranks[j].

    Two ranks first differ in one bit; there the earlier has 1 and the later 0. Rows with the same higher bits stand
    together, in their old order, so the ones before each zero are a difference of running sums.
    """
    falls = 0
    for bit in range(int(ranks.max(initial=0)).bit_length() - 1, -1, -1):
        ones = ranks >> bit & 1
        groups = ranks >> (bit + 1)
        before = np.cumsum(ones) - ones
        starts = np.flatnonzero(np.diff(groups, prepend=-1))
        at_start = np.repeat(before[starts], np.diff(np.append(starts, len(ranks))))
        falls += int(((before - at_start) * (1 - ones)).sum())
        ranks = ranks[np.argsort(ranks >> bit, kind="stable")]
    return falls


def _check(x: Rows, y: Rows) -> None:
    if len(x) != len(y) or not len(x):
        raise ValueError(f"x, y: expected equal lengths of at least 1, got {len(x)} and {len(y)}")
    for name, values in (("x", x), ("y", y)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name}[{np.isfinite(values).argmin()}]: expected a finite number")


def _require_order(ordered: int, values: Rows, name: str) -> None:
    if not ordered:
        raise ValueError(f"{name}: expected at least two different values, got {len(values)} of {values[0]}")
