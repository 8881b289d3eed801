"""One published source as pairs with their splits, and a report of what was found, left out and not there."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from feature_export.sources.listed import Listed
from feature_export.sources.reading import Reading
from feature_export.sources.registry import read_source
from tunejury_jax.pairs import Pair
from tunejury_jax.splits import assign_listed

__all__ = ["SourcePairs", "source_pairs"]

SHOWN = 20


class SourcePairs(NamedTuple):
    """Pairs with their splits, and how they came about."""

    pairs: list[Pair]
    report: dict[str, Any]


def source_pairs(source: str, options: Mapping[str, Any], splits: Path | None, strict: bool) -> SourcePairs:
    """Reads a source and splits it.

    Args:
        source: Name of the source.
        options: What its reader takes.
        splits: A published split file, or the folder that holds the source's; pairs it does not list get `none`.
            A source that is split by its clips is split here where the folder does not hold its file.
        strict: Refuses audio that is listed and not there, which is otherwise counted and its pairs left out.

    Raises:
        ValueError: Refused input.
    """
    reading = read_source(source, options)
    _check_audio(reading, strict)
    listed = _listed(reading, splits)
    pairs = _assigned(reading, listed)
    report = _report(reading, pairs, listed)
    _check_disjoint(reading, report, listed)
    return SourcePairs(pairs, report)


def _check_audio(reading: Reading, strict: bool) -> None:
    if reading.missing and (strict or not reading.pairs):
        shown = ", ".join(map(repr, reading.missing[:3]))
        raise ValueError(f"audio: {len(reading.missing)} clips are listed and not there, first {shown}")
    if not reading.pairs:
        raise ValueError(f"{reading.source}: no pairs left; found {reading.counts}")


def _listed(reading: Reading, splits: Path | None) -> Listed | None:
    if splits is None or (reading.own_splits and not Listed.files(splits, reading.source)):
        return None
    return Listed.read(splits, reading.source)


def _assigned(reading: Reading, listed: Listed | None) -> list[Pair]:
    if listed:
        return listed.assign(reading.pairs)
    return assign_listed(reading.pairs, reading.own_splits) if reading.own_splits else reading.pairs


def _report(reading: Reading, pairs: Sequence[Pair], listed: Listed | None) -> dict[str, Any]:
    clips = _clips(pairs)
    return {
        "source": reading.source,
        "pairs": len(pairs),
        "counts": reading.counts,
        "labels": dict(sorted(Counter(pair.label for pair in pairs).items())),
        "splits": dict(sorted(Counter(str(pair.split) for pair in pairs).items())),
        "clips": {split: len(paths) for split, paths in clips.items()},
        "clips in two splits": len(_shared(clips)),
        "split ids": listed.coverage(pairs) if listed else {},
        "missing audio": {"clips": len(reading.missing), "first": reading.missing[:SHOWN]},
        "audio_root": str(reading.audio_root) if reading.audio_root else None,
    }


def _clips(pairs: Sequence[Pair]) -> dict[str, set[str]]:
    """Split -> audio files heard in it, whichever seconds."""
    clips: dict[str, set[str]] = {}
    for pair in pairs:
        if pair.split not in (None, "none"):
            clips.setdefault(str(pair.split), set()).update((pair.audio_a, pair.audio_b))
    return dict(sorted(clips.items()))


def _shared(clips: Mapping[str, set[str]]) -> set[str]:
    splits = Counter(path for paths in clips.values() for path in paths)
    return {path for path, count in splits.items() if count > 1}


def _check_disjoint(reading: Reading, found: Mapping[str, Any], listed: Listed | None) -> None:
    """A list by songs puts a song into two splits only if it lists other pairs than those at hand."""
    if reading.own_splits and listed and (shared := found["clips in two splits"]):
        raise ValueError(
            f"{listed.file}: {shared} clips are in two of its splits, expected none: it lists other pairs than these, "
            f"drawn from other songs, ratings, another seed or song order; without this file songs are split anew"
        )
