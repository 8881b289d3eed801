"""MAUVE audio divergence: -ln MAUVE of the clusters of two sets of clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from tunejury_jax.errors import one_of
from tunejury_jax.generation_metrics.checks import checked_pair
from tunejury_jax.generation_metrics.clusters import Labels, cluster
from tunejury_jax.generation_metrics.distance import Mad
from tunejury_jax.generation_metrics.jackknife import Kept, KeptOthers, jackknife
from tunejury_jax.generation_metrics.mauve import mauve
from tunejury_jax.selection import Embedding

__all__ = ["PRESETS", "MadPreset", "Preset", "mad"]

LEAST_SEEDS = 2

Preset = Literal["tunejury", "mad-metric"]


@dataclass(frozen=True)
class MadPreset:
    """Whose numbers it makes.

    Attributes:
        embedding: Of the clips.
        seed: Of the first clustering.
    """

    embedding: Embedding
    seed: int


PRESETS: dict[Preset, MadPreset] = {"tunejury": MadPreset("mert", 42), "mad-metric": MadPreset("mert-max", 25)}
"""TuneJury's paper: MERT's last layer, mean over time. The package mad-metric: the same layer, maximum over time."""


def mad(
    x: Float[np.ndarray, "..."], reference: Float[np.ndarray, "..."], preset: Preset = "tunejury", seeds: int = 5
) -> Mad:
    """The mean over clusterings of -ln MAUVE; 0 for sets that fill their clusters alike, at most 5.5.

        buckets = max(2, round(min(n, m) / 10))

    The interval takes the clusters as they are.

    Args:
        x: Embeddings of the clips, (n, dim).
        reference: Of the reference set, (m, dim).
        preset: Whose first seed is taken. The embeddings must be the preset's already.
        seeds: Clusterings, from the preset's seed on; at least 2.

    Raises:
        ValueError: Fewer than two clips, different widths, a number is not finite, a row is zero, or clips are so alike
            that there are fewer different ones than buckets.

    Source: Huang et al., Aligning Text-to-Music Evaluation with Human Preferences, 2025.
    """
    rows, against = checked_pair(x, reference)
    first = PRESETS[one_of("preset", preset, tuple(PRESETS))].seed
    if seeds < LEAST_SEEDS:
        raise ValueError(f"seeds: got {seeds}, expected at least {LEAST_SEEDS}")
    buckets = max(2, round(min(len(rows), len(against)) / 10))
    clusterings = list(cluster(rows, against, buckets, range(first, first + seeds)))

    def mean(kept: Kept, kept_reference: KeptOthers) -> float:
        left = [Labels(labels.x[kept], labels.reference[kept_reference]) for labels in clusterings]
        return float(np.mean(_divergences(left, buckets)))

    by_seed = _divergences(clusterings, buckets)
    estimate, std = jackknife(mean, len(rows), len(against), least=0.0), float(by_seed.std(ddof=1))
    return Mad(*estimate, len(rows), len(against), std, tuple(by_seed.tolist()), buckets)


def _divergences(clusterings: Sequence[Labels], buckets: int) -> Float[np.ndarray, " seeds"]:
    p, q = (np.stack([_histogram(labels, buckets) for labels in side]) for side in zip(*clusterings, strict=True))
    # Rounding may leave MAUVE of equal histograms just above 1.
    return np.maximum(0.0, -np.log(mauve(p, q)))


def _histogram(labels: Int[np.ndarray, " clips"], buckets: int) -> Float[np.ndarray, " buckets"]:
    return np.bincount(labels, minlength=buckets) / len(labels)
