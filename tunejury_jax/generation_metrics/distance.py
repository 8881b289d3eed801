"""Distances of a set of clips from a reference set, with their intervals."""

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Distance", "Mad"]


@dataclass(frozen=True)
class Distance:
    """A distance and its 95 % interval, see `jackknife`.

    Attributes:
        value: At least 0, except where it is extrapolated.
        low: None where there are too few clips for an interval.
        high: Likewise.
        n: Clips.
        n_reference: Clips of the reference set.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    n_reference: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Mad(Distance):
    """A MAUVE audio divergence: `value` is the mean over clusterings.

    Attributes:
        std: Standard deviation over clusterings (n - 1).
        by_seed: The divergence of each clustering; the first has the preset's own seed.
        buckets: Clusters.
    """

    std: float
    by_seed: tuple[float, ...]
    buckets: int
