"""Embeddings as numbers of clusters, which two sets share: how MAUVE sees them.

Rows of length 1, of both sets, reference first; their first principal components, as many as hold `VARIANCE` of the
variance; k-means from random rows, best of `RESTARTS`. As in the package mauve-text, but by scikit-learn in float64
instead of faiss, so the clusters of a seed are others.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tunejury_jax.generation_metrics.checks import OtherRows, Rows, directions

__all__ = ["Labels", "cluster", "principal"]

VARIANCE = 0.9
ITERATIONS, RESTARTS = 500, 5


class Labels(NamedTuple):
    """The cluster of each clip, and of each of the reference set."""

    x: Int[np.ndarray, " clips"]
    reference: Int[np.ndarray, " others"]


def cluster(x: Rows, reference: OtherRows, buckets: int, seeds: Sequence[int]) -> Iterator[Labels]:
    """The clusters that each seed finds; the same on any number of cores.

    Raises:
        ValueError: A row is zero, or there are fewer different rows than buckets.
    """
    from threadpoolctl import threadpool_limits

    # One thread: sums that several threads share end in other last bits, which move clips between clusters.
    with threadpool_limits(limits=1):
        points = principal(np.vstack([directions("reference", reference), directions("x", x)]))
        different = len(np.unique(points.round(12), axis=0))
        if different < buckets:
            raise ValueError(f"x, reference: expected at least {buckets} clips that differ, got {different}")
        found = [_k_means(points, buckets, seed) for seed in seeds]
    for labels in found:
        yield Labels(labels[len(reference) :], labels[: len(reference)])


def principal(rows: Rows) -> Float[np.ndarray, "clips components"]:
    """The first components of rows, as many as hold `VARIANCE` of the variance."""
    vectors, sizes, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    held = np.cumsum(sizes**2)
    components = int(np.argmax(held >= VARIANCE * held[-1])) + 1
    return vectors[:, :components] * sizes[:components]


def _k_means(points: Float[np.ndarray, "clips components"], buckets: int, seed: int) -> Int[np.ndarray, " clips"]:
    from sklearn.cluster import KMeans

    # Without a tolerance it goes on until no clip moves, as faiss does.
    options: dict[str, Any] = {"init": "random", "n_init": RESTARTS, "max_iter": ITERATIONS, "tol": 0.0}
    return KMeans(buckets, **options, random_state=seed).fit_predict(points).astype(np.int64)
