"""What a source's reader hands over: pairs whose audio is there, and counts of everything else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tunejury_jax.pairs import Pair, Split

__all__ = ["Reading", "with_audio"]


@dataclass(frozen=True)
class Reading:
    """Pairs of one source.

    Attributes:
        source: The data set's name in the records.
        pairs: Those whose audio is there.
        counts: What was read and what was left out, in the order it happened.
        missing: Audio that is listed and not there.
        audio_root: Folder that the pairs' paths are relative to; None where embedded audio was not extracted.
        own_splits: Pair id -> split, where a source is split by its clips: then none may be in two splits.
    """

    source: str
    pairs: list[Pair]
    counts: dict[str, int]
    missing: list[str]
    audio_root: Path | None
    own_splits: Mapping[str, Split] = field(default_factory=dict)


def with_audio(source: str, pairs: Iterable[Pair], counts: dict[str, int], root: Path) -> Reading:
    """Leaves out, and counts, the pairs of which a file is not below `root`."""
    pairs = list(pairs)
    missing = {path for path in _paths(pairs) if not (root / path).is_file()}
    kept = [pair for pair in pairs if missing.isdisjoint(_paths([pair]))]
    counts = counts | {"pairs without audio": len(pairs) - len(kept)}
    return Reading(source, kept, counts, sorted(missing), root)


def _paths(pairs: Iterable[Pair]) -> set[str]:
    return {path for pair in pairs for path in (pair.audio_a, pair.audio_b)}
