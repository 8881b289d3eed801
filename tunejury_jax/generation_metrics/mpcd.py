r"""Mean pairwise cosine distance: how unlike each other the clips of a set are.

    1 - mean over i != j of <u_i, u_j>,   u = x / |x|,   sum over i != j = |sum_i u_i|^2 - n

so that it takes O(n dim), not O(n^2 dim). In a redraw of the bootstrap clip i occurs w_i times, and only pairs of
*different* clips count: a clip's distance to itself is 0 and would draw the interval down by the share 1/n.

    1 - (|sum_i w_i u_i|^2 - sum_i w_i^2) / (n^2 - sum_i w_i^2)
"""

import numpy as np
from jaxtyping import Float

from tunejury_jax.evaluation.estimates import Estimate
from tunejury_jax.generation_metrics.checks import checked, directions

__all__ = ["mpcd"]

REDRAWS = 1000


def mpcd(x: Float[np.ndarray, "..."], seed: int = 0) -> Estimate:
    """The mean pairwise cosine distance of clips and its percentile bootstrap interval over clips; 0 to 2.

    Args:
        x: Embeddings, (clips, dim): MERT's means.
        seed: Of the redraws.

    Raises:
        ValueError: Fewer than two clips, a number is not finite, or a row is zero.
    """
    u = directions("x", checked("x", x))
    n = len(u)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), REDRAWS).astype(np.float64)
    # Redraws of one clip only, which have no pair: with two or three clips they occur.
    weights = weights[weights.max(axis=1) < n]
    low, high = np.quantile(_mean_distance(weights, u), [0.025, 0.975])
    value = _mean_distance(np.ones((1, n)), u)[0]
    return Estimate(float(value), float(low), float(high), n, "bootstrap")


def _mean_distance(
    weights: Float[np.ndarray, "draws clips"], u: Float[np.ndarray, "clips dim"]
) -> Float[np.ndarray, " draws"]:
    same = np.square(weights).sum(axis=1)
    total = np.square(weights @ u).sum(axis=1)
    return 1 - (total - same) / (np.square(weights.sum(axis=1)) - same)
