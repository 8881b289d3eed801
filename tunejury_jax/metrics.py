"""How good a head's margins are, and how sure one can be of it.

A margin is s(A) - s(B) of one pair, in reward units; its target is P(A preferred): 1 where the listener chose A, 0
where B, 0.5 for a tie; anything else is refused. A pair is *decisive* when its target is not 0.5. There the head is
right (1) when its margin points at the chosen clip, wrong (0) when at the other, and *undecided* (1/2) when the margin
is exactly 0, as that of a head that reads the prompt alone always is. Only `bootstrap` is random, and it is seeded.
Arrays may be of any float type and are reduced in float64. Definitions: spec.md section 3.

>>> accuracy(np.array([2.0, -1.0, 0.5, 0.0]), np.array([1.0, 0.0, 0.0, 0.5]))[3:]
(3, 2, 0, 1)
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy.special import bdtr, expit, ndtri

__all__ = ["Accuracy", "Interval", "McNemar", "ReliabilityBin", "accuracy", "bootstrap", "brier"]
__all__ += ["expected_calibration_error", "log_loss", "log_losses", "mcnemar", "outcomes", "reliability", "spearman"]
__all__ += ["squared_errors", "wilson"]

Pairs = Float[np.ndarray, " pairs"]
Rows = Float[np.ndarray, " rows"]
Table = Shaped[np.ndarray, "rows ..."]


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float


class Accuracy(NamedTuple):
    """Share of decisive pairs decided as the listener did, with its interval and what it was counted from."""

    value: float
    low: float
    high: float
    n_decisive: int
    correct: int
    undecided: int
    ties: int


class ReliabilityBin(NamedTuple):
    """Decisive pairs of similar |margin| (`lo` to `hi`): how sure the head is of them, and how often it is right."""

    lo: float
    hi: float
    n: int
    mean_margin: float
    confidence: float
    accuracy: float


class McNemar(NamedTuple):
    """Two protocols on the same pairs: `b` only the first got right, `c` only the second; `p` is of `chi2`, `p_exact`
    of the binomial distribution."""

    b: int
    c: int
    chi2: float
    p: float
    p_exact: float


def outcomes(margins: Pairs, targets: Pairs) -> Float[np.ndarray, " decisive"]:
    """What the head made of each decisive pair, in order: 1 right, 0 wrong, 0.5 undecided (margin 0).

    Args:
        margins: s(A) - s(B), in reward units.
        targets: P(A preferred): 1, 0.5 or 0; at least one is not 0.5.

    Raises:
        ValueError: Lengths differ, a value is not acceptable, or no pair is decisive.
    """
    margins, targets = _checked(margins, targets)
    decisive = targets != 0.5
    if not decisive.any():
        raise ValueError(f"targets: no decisive pair among {len(targets)}, all are ties (0.5)")
    return 0.5 + (targets[decisive] - 0.5) * np.sign(margins[decisive])


def accuracy(margins: Pairs, targets: Pairs) -> Accuracy:
    """Accuracy on decisive pairs, with a Wilson 95 % interval.

        value = (correct + undecided / 2) / n_decisive

    A is predicted iff margin > 0. The interval is `wilson(correct + undecided / 2, n_decisive)`: half a success for
    an undecided pair keeps the interval around the value. Ties are left out and counted. Arguments and errors are
    those of `outcomes`: there is no accuracy without a decisive pair.
    """
    outcome = outcomes(margins, targets)
    successes, n = float(outcome.sum()), len(outcome)
    correct, undecided = int((outcome == 1).sum()), int((outcome == 0.5).sum())
    return Accuracy(successes / n, *wilson(successes, n), n, correct, undecided, len(targets) - n)


def wilson(successes: float | int, trials: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share (JASA 22, 1927).

        (p + z^2/2n +- z sqrt(p (1-p) / n + z^2/4n^2)) / (1 + z^2/n),   p = successes/n,  z = quantile of (1 + level)/2

    It stays inside [0, 1] and is honest for few trials and for shares near 0 or 1, where p +- z se is not.

    Args:
        successes: 0 to `trials`; halves count undecided pairs.
        trials: At least 1.
        level: Share of intervals that hold the true value, between 0 and 1.

    Raises:
        ValueError: An argument is out of its range.
    """
    _require(0 < level < 1, "level", "a number between 0 and 1", level)
    _require(trials >= 1, "trials", "at least 1", trials)
    _require(0 <= successes <= trials, "successes", f"0 to {trials}", successes)
    share, z = successes / trials, float(ndtri((1 + level) / 2))
    centre = share + z**2 / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z**2 / trials
    return Interval(max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale))


def reliability(margins: Pairs, targets: Pairs, bins: int = 10) -> list[ReliabilityBin]:
    """Equal-count bins of decisive pairs, sorted by |margin|.

        confidence = mean sigmoid(|margin|),   accuracy = mean outcome (1, 0.5, 0)

    Each bin holds n // bins pairs and the last takes the rest. With fewer decisive pairs than bins there are as many
    bins as pairs. Pairs of equal |margin| share their mean outcome, so a border that falls among them does not make
    the result depend on the order of rows. Arguments and errors are those of `outcomes`; `bins` is at least 1.
    """
    _require(bins >= 1, "bins", "at least 1", bins)
    outcome = outcomes(margins, targets)
    sizes = np.abs(np.asarray(margins, np.float64)[np.asarray(targets) != 0.5])
    _, group, count = np.unique(sizes, return_inverse=True, return_counts=True)
    outcome = (np.bincount(group, outcome) / count)[group]
    order = np.argsort(sizes)
    bins = min(bins, len(order))
    borders = np.arange(1, bins) * (len(order) // bins)
    return [_bin(sizes[rows], outcome[rows]) for rows in np.split(order, borders)]


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Mean gap between confidence and accuracy over the bins of `reliability`, weighted by their pairs.

        ECE = sum_k n_k |confidence_k - accuracy_k| / sum_k n_k,   between 0 and 1

    Raises:
        ValueError: There is no bin.
    """
    _require(len(bins) > 0, "bins", "at least one", "none")
    return sum(b.n * abs(b.confidence - b.accuracy) for b in bins) / sum(b.n for b in bins)


def log_loss(margins: Pairs, targets: Pairs) -> float:
    """Mean of `log_losses`."""
    return float(np.mean(log_losses(margins, targets)))


def log_losses(margins: Pairs, targets: Pairs) -> Pairs:
    """Cross-entropy of each pair, ties included, in nats; a margin of 0 gives ln 2.

        y softplus(-m) + (1 - y) softplus(m),   softplus(x) = ln(1 + e^x)

    Arguments are those of `outcomes`, but all pairs may be ties.
    """
    margins, targets = _checked(margins, targets)
    # logaddexp, since exp(800) overflows; and not softplus(m) - y m, which cancels where the pair is right.
    return targets * np.logaddexp(0, -margins) + (1 - targets) * np.logaddexp(0, margins)


def brier(margins: Pairs, targets: Pairs) -> float:
    """Mean of `squared_errors` (Monthly Weather Review 78, 1950)."""
    return float(np.mean(squared_errors(margins, targets)))


def squared_errors(margins: Pairs, targets: Pairs) -> Pairs:
    """Squared error of each pair's probability, ties included; a margin of 0 that meets a decisive pair gives 1/4.

        (sigmoid(m) - y)^2

    Arguments are those of `outcomes`, but all pairs may be ties.
    """
    margins, targets = _checked(margins, targets)
    return np.square(expit(margins) - targets)


def mcnemar(correct_a: Bool[np.ndarray, " pairs"], correct_b: Bool[np.ndarray, " pairs"]) -> McNemar:
    """Whether two protocols, judged on the same pairs, differ in accuracy (Psychometrika 12, 1947).

        chi2 = (b - c)^2 / (b + c),   p = erfc(sqrt(chi2 / 2)),   no continuity correction
        p_exact = min(1, 2 P(X <= min(b, c))),   X ~ Binomial(b + c, 1/2)

    Where they never disagree, chi2 is 0 and both p are 1.

    Args:
        correct_a: True where the first protocol is right.
        correct_b: The same pairs under the second.

    Raises:
        ValueError: Lengths differ, there is no pair, or an array is not boolean.
    """
    _check_lengths(correct_a=correct_a, correct_b=correct_b)
    for field, values in (("correct_a", correct_a), ("correct_b", correct_b)):
        # An integer would pass and count wrongly: ~1 is -2, which is true.
        _require(values.dtype == bool, field, "booleans", values.dtype)
    b, c = int((correct_a & ~correct_b).sum()), int((~correct_a & correct_b).sum())
    chi2 = (b - c) ** 2 / (b + c) if b + c else 0.0
    exact = min(1.0, 2 * float(bdtr(min(b, c), b + c, 0.5)))
    return McNemar(b, c, chi2, math.erfc(math.sqrt(chi2 / 2)), exact)


def spearman(x: Rows, y: Rows) -> float:
    """Spearman's rank correlation: Pearson's correlation of ranks, equal values sharing their average rank.

    Raises:
        ValueError: Lengths differ, a value is not finite, or an input is constant and so has no order to compare.
    """
    from scipy.stats import rankdata  # importing scipy.stats takes 0.7 s, and nothing else here needs it

    _check_lengths(x=x, y=y)
    for field, values in (("x", x), ("y", y)):
        _check_finite(field, values)
        _require(values.min() < values.max(), field, "at least two different values", f"{len(values)} of {values[0]}")
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def bootstrap(
    statistic: Callable[..., float], *arrays: Table, samples: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Percentile bootstrap interval: the statistic on `samples` redraws of the rows, with replacement.

    Args:
        statistic: Takes the arrays, redrawn alike, and returns one finite number on every redraw.
        arrays: Equally long.
        samples: Redraws, at least 1.
        seed: The same seed gives the same interval.
        level: Share of the redraws inside, between 0 and 1.

    Raises:
        ValueError: An argument is out of its range, or the statistic is not finite on a redraw.
    """
    _require(0 < level < 1, "level", "a number between 0 and 1", level)
    _require(samples >= 1, "samples", "at least 1", samples)
    n = _check_lengths(**{f"arrays[{i}]": array for i, array in enumerate(arrays)})
    generator = np.random.default_rng(seed)
    redraws = (generator.integers(0, n, n) for _ in range(samples))
    values = np.array([statistic(*(array[rows] for array in arrays)) for rows in redraws], np.float64)
    _check_finite("statistic", values)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _bin(sizes: Rows, outcome: Rows) -> ReliabilityBin:
    mean_margin, confidence, share = (float(values.mean()) for values in (sizes, expit(sizes), outcome))
    return ReliabilityBin(float(sizes[0]), float(sizes[-1]), len(sizes), mean_margin, confidence, share)


def _checked(margins: Pairs, targets: Pairs) -> tuple[Pairs, Pairs]:
    _check_lengths(margins=margins, targets=targets)
    margins, targets = np.asarray(margins, np.float64), np.asarray(targets, np.float64)
    _check_finite("margins", margins)
    known = np.isin(targets, (0.0, 0.5, 1.0))
    first = known.argmin()  # the first that is not, if there is one
    _require(known[first], f"targets[{first}]", "0, 0.5 or 1", targets[first])
    return margins, targets


def _check_lengths(**arrays: Shaped[np.ndarray, " *_"]) -> int:
    lengths = {field: len(array) for field, array in arrays.items()}
    found = ", ".join(f"{n} {field}" for field, n in lengths.items()) or "none"
    met = len(set(lengths.values())) == 1 and all(lengths.values())
    _require(met, ", ".join(arrays) or "arrays", "equal lengths of at least 1", found)
    return next(iter(lengths.values()))


def _check_finite(field: str, values: Rows) -> None:
    finite = np.isfinite(values)
    first = finite.argmin()
    _require(finite[first], f"{field}[{first}]", "a finite number", values[first])


def _require(met: bool | np.bool, field: str, accepted: str, value: object) -> None:
    if not met:
        raise ValueError(f"{field}: expected {accepted}, got {value}")
