"""Frechet audio distance between a set of clips and a reference set, with its interval; and without its bias."""

import numpy as np
from jaxtyping import Float

from tunejury_jax.generation_metrics.checks import Rows, checked_pair
from tunejury_jax.generation_metrics.distance import Distance
from tunejury_jax.generation_metrics.frechet import Gaussian, Shrinkage
from tunejury_jax.generation_metrics.jackknife import Kept, KeptOthers, jackknife

__all__ = ["INFINITY_LEAST", "SIZES", "fad", "fad_infinity"]

SIZES = 3
INFINITY_LEAST = 3 * SIZES
SEED = 0


def fad(x: Float[np.ndarray, "..."], reference: Float[np.ndarray, "..."], shrinkage: Shrinkage = "none") -> Distance:
    """The Frechet distance of the Gaussians of two sets of embeddings.

    It is biased upwards by about c / n + c' / m, much so for fewer clips than dimensions: compare values of equal n and
    m only, or see `fad_infinity`.

    Args:
        x: Embeddings of the clips, (n, dim).
        reference: Of the reference set, (m, dim).
        shrinkage: See `Gaussian.of`.

    Raises:
        ValueError: Fewer than two clips, different widths, or a number is not finite.
    """
    rows, against = checked_pair(x, reference)

    def distance(kept: Kept, kept_reference: KeptOthers) -> float:
        return Gaussian.of(rows[kept], shrinkage).distance(Gaussian.of(against[kept_reference], shrinkage))

    return Distance(*jackknife(distance, len(rows), len(against), least=0.0), len(rows), len(against))


def fad_infinity(x: Float[np.ndarray, "..."], reference: Float[np.ndarray, "..."]) -> Distance:
    """The distance that infinitely many clips would have from this reference set: what is left at 1/k = 0.

        FAD(k) = FAD_infinity + c / k, by least squares over k = n, n/2, n/3

    The clips are dealt into 1, 2 and 3 subsets, each in one subset of each size, and the distances of equally large
    subsets are averaged. Clips are not drawn with replacement, as fadtk does: then k goes to infinity while the clips
    stay the same n, and the line ends at FAD(n). The law holds if the smallest subsets have more clips than dimensions,
    better several times as many; with fewer the value is still a guess. The bias from the reference set's own size
    stays.

    Args:
        x: Embeddings of the clips, (n, dim), n at least `INFINITY_LEAST`.
        reference: Of the reference set, (m, dim).

    Raises:
        ValueError: Too few clips, different widths, or a number is not finite.

    Source: Chong and Forsyth, CVPR 2020; Gui et al., ICASSP 2024 (arXiv 2311.01616).
    """
    rows, against = checked_pair(x, reference)
    if len(rows) < INFINITY_LEAST:
        raise ValueError(f"x: expected at least {INFINITY_LEAST} clips to extrapolate from, got {len(rows)}")
    dealt = np.random.default_rng(SEED).permutation(len(rows))

    def intercept(kept: Kept, kept_reference: KeptOthers) -> float:
        return _intercept(rows[kept], dealt[kept], Gaussian.of(against[kept_reference]))

    return Distance(*jackknife(intercept, len(rows), len(against)), len(rows), len(against))


def _intercept(rows: Rows, dealt: np.ndarray, reference: Gaussian) -> float:
    subsets = [[rows[dealt % count == part] for part in range(count)] for count in range(1, SIZES + 1)]
    inverse = [np.mean([1 / len(subset) for subset in of_size]) for of_size in subsets]
    distances = [np.mean([Gaussian.of(subset).distance(reference) for subset in of_size]) for of_size in subsets]
    return float(np.polyfit(inverse, distances, 1)[1])
