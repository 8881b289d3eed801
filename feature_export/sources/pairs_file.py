"""From a published source to a pairs file with its splits, and a report of what was found, left out and not there."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_export.sources.reading import Reading, write_whole
from feature_export.sources.registry import read_source
from tunejury_jax.pairs import Pair, Split, write_pairs
from tunejury_jax.splits import assign_listed, read_split

__all__ = ["make_pairs"]

SHOWN = 20


@dataclass(frozen=True)
class _Listed:
    """The published split of a source."""

    file: Path
    splits: Mapping[str, Split]

    def coverage(self, pairs: Sequence[Pair]) -> dict[str, int]:
        """How the ids of the list and those of the records meet."""
        ids = {pair.id for pair in pairs}
        found = len(ids & self.splits.keys())
        return {"found": found, "missing": len(self.splits) - found, "extra": len(ids) - found}


def make_pairs(
    source: str,
    options: Mapping[str, Any],
    out: Path,
    splits: Path | None = None,
    report: Path | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Writes the pairs file of a source.

    Args:
        source: Name of the source.
        options: What its reader takes.
        out: The pairs file.
        splits: A published split file, or the folder that holds the source's; pairs it does not list get `none`.
        report: The report goes here too, as JSON.
        strict: Refuses audio that is listed and not there, which is otherwise counted and its pairs left out.

    Returns:
        The report.

    Raises:
        ValueError: Refused input; nothing is written then but extracted audio.
    """
    reading = read_source(source, options)
    _check_audio(reading, strict)
    listed = _read_listed(splits, reading.source) if splits else None
    pairs = _assigned(reading, listed)
    found = _report(reading, pairs, listed)
    _check_disjoint(reading, found, listed)
    _write(out, lambda path: write_pairs(path, pairs))
    if report:
        _write(report, lambda path: path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n"))
    _show(found)
    print(out)
    return found


def _write(path: Path, write: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, write)


def _check_audio(reading: Reading, strict: bool) -> None:
    if reading.missing and (strict or not reading.pairs):
        shown = ", ".join(map(repr, reading.missing[:3]))
        raise ValueError(f"audio: {len(reading.missing)} clips are listed and not there, first {shown}")
    if not reading.pairs:
        raise ValueError(f"{reading.source}: no pairs left; found {reading.counts}")


def _read_listed(splits: Path, source: str) -> _Listed:
    if not splits.is_dir():
        return _Listed(splits, read_split(splits))
    files = sorted(splits.glob(f"{source}-*split*.json"))
    if len(files) != 1:
        found = [file.name for file in files]
        raise ValueError(f"splits: {splits}: expected one file {source}-*split*.json, found {found}; name the file")
    return _Listed(files[0], read_split(files[0]))


def _assigned(reading: Reading, listed: _Listed | None) -> list[Pair]:
    splits = listed.splits if listed else reading.own_splits
    return assign_listed(reading.pairs, splits) if splits else reading.pairs


def _report(reading: Reading, pairs: Sequence[Pair], listed: _Listed | None) -> dict[str, Any]:
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


def _check_disjoint(reading: Reading, found: Mapping[str, Any], listed: _Listed | None) -> None:
    """A list by songs puts a song into two splits only if it lists other pairs than those at hand."""
    if reading.own_splits and listed and (shared := found["clips in two splits"]):
        raise ValueError(
            f"{listed.file}: {shared} clips are in two of its splits, expected none: it lists other pairs than these, "
            f"drawn from other songs, ratings or another seed"
        )


def _show(found: Mapping[str, Any]) -> None:
    for name, value in found.items():
        shown = ", ".join(f"{key} {count}" for key, count in value.items()) if isinstance(value, dict) else value
        print(f"{name}: {'-' if shown in (None, '') else shown}", file=sys.stderr)
