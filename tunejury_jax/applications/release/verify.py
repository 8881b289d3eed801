"""Two tables of released scores side by side: what differs, and by how much."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tunejury_jax.metrics import spearman

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """How a new table differs from an old one.

    Attributes:
        common: How many tracks both have.
        missing: Ids that only the old one has, in its order.
        extra: Ids that only the new one has, in its order.
        mean_abs: Mean of |new - old| over the common tracks.
        max_abs: Its maximum.
        spearman: Rank correlation over the common tracks; None where one side has no two different scores.
        tolerance: What |new - old| may be.
        beyond: Track id -> new - old where that is more, largest first.
    """

    common: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    mean_abs: float
    max_abs: float
    spearman: float | None
    tolerance: float
    beyond: dict[str, float]

    @property
    def same(self) -> bool:
        """Whether both have the same tracks with the same scores, within the tolerance."""
        return not (self.missing or self.extra or self.beyond)


def compare(old: Mapping[str, float], new: Mapping[str, float], tolerance: float = 1e-4) -> Comparison:
    """Compares scores by track id.

    Args:
        old: Rewards by track.
        new: Likewise.
        tolerance: Largest difference that does not count, at least 0.

    Raises:
        ValueError: They have no track in common, or the tolerance is not usable.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance: got {tolerance}, accepted are numbers from 0")
    common = [key for key in old if key in new]
    if not common:
        raise ValueError(f"tables: no track is in both; old has {next(iter(old))!r}, new has {next(iter(new))!r}")
    before, after = (np.array([scores[key] for key in common], np.float64) for scores in (old, new))
    change = after - before
    order = np.argsort(-np.abs(change), kind="stable")
    beyond = {common[i]: float(change[i]) for i in order if abs(change[i]) > tolerance}
    ordered = all(values.min() < values.max() for values in (before, after))
    return Comparison(
        common=len(common),
        missing=tuple(key for key in old if key not in new),
        extra=tuple(key for key in new if key not in old),
        mean_abs=float(np.abs(change).mean()),
        max_abs=float(np.abs(change).max()),
        spearman=spearman(before, after) if ordered else None,
        tolerance=tolerance,
        beyond=beyond,
    )
