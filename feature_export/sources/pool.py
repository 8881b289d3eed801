"""The pool of the four published sources under one audio root, beside the counts that were published."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from feature_export.sources.source_pairs import SourcePairs, source_pairs
from tunejury_jax.errors import one_of
from tunejury_jax.pairs import Pair

__all__ = ["ALL", "PoolRow", "compare", "pool"]

ALL = "all"
COLUMNS = ("train", "valid", "test", "decisive test")


class _Member(NamedTuple):
    """A source of the pool.

    Attributes:
        source: Its name in the records.
        folders: Option of its reader -> folder below that of the source, for what it reads.
        clips: Where its audio lies below the audio root.
        options: Options of the pool that its reader takes.
        published: Pairs to train on, to validate on, to test on, and those of the last that have a winner.
    """

    source: str
    folders: Mapping[str, str]
    clips: str
    options: tuple[str, ...]
    published: tuple[int, ...]


MEMBERS = {
    "music-arena": _Member("MusicArena", {"data": ""}, "music-arena", ("bench",), (571, 54, 74, 20)),
    "musicprefs": _Member(
        "MusicPrefs", {"data": ""}, "musicprefs/clips", ("audio_out", "prompt_column"), (2012, 251, 252, 206)
    ),
    "aime": _Member(
        "AIME", {"data": "AIME-survey", "audio": "AIME"}, "aime/clips", ("audio_out",), (12480, 1560, 1560, 1560)
    ),
    "songeval": _Member("SongEval", {"data": ""}, "songeval", ("seed", "song_order"), (2491, 246, 249, 249)),
}
"""In the order in which they were put together."""
OPTIONS = tuple(dict.fromkeys(("data", *(option for member in MEMBERS.values() for option in member.options))))
LEFT_OUT = (
    ("MusicArena",),
    ("MusicPrefs",),
    ("AIME",),
    ("SongEval",),
    ("SongEval", "MusicArena"),
    ("MusicPrefs", "MusicArena"),
)


class PoolRow(NamedTuple):
    """What was found and what was published of a part of the pool; of a training pool only the first number."""

    name: str
    found: tuple[int, ...]
    published: tuple[int, ...]


def pool(options: Mapping[str, Any], splits: Path | None, strict: bool, partial: bool) -> SourcePairs:
    """Reads the four sources and puts them together, their audio below one root.

    Args:
        options: `data`, the folder with `music-arena/`, `musicprefs/`, `aime/AIME-survey/`, `aime/AIME/` and
            `songeval/`; `audio_out`, the folder that becomes the audio root; others as the readers take them.
        splits: Folder of the published split files.
        strict: As of one source.
        partial: Takes the sources that are there.

    Raises:
        ValueError: An option that the pool does not take, no splits, a source that is not there, or refused input.
    """
    for option in options:
        one_of(f"option of source {ALL}", option, OPTIONS)
    if splits is None:
        raise ValueError(f"splits: source {ALL} needs the folder of the published split files")
    data, root = options["data"], options.get("audio_out")
    parts = {name: _part(name, options, splits, strict) for name in _present(data, partial)}
    if root:
        _link(data, root, parts)
    pairs = [pair for part in parts.values() for pair in part.pairs]
    report = {
        "source": ALL,
        "pairs": len(pairs),
        "sources": {name: part.report for name, part in parts.items()},
        "not there": [name for name in MEMBERS if name not in parts],
        "columns": COLUMNS,
        "table": [row._asdict() for row in compare(pairs)],
        "audio_root": str(root) if root else None,
    }
    return SourcePairs(pairs, report)


def compare(pairs: Sequence[Pair]) -> list[PoolRow]:
    """Each source, all of them, and the training pools without some of them."""
    found = {member.source: _counts(pairs, member.source) for member in MEMBERS.values()}
    published = {member.source: member.published for member in MEMBERS.values()}
    rows = [PoolRow(source, found[source], published[source]) for source in found]
    rows.append(PoolRow(ALL, _sum(found.values()), _sum(published.values())))
    for sources in LEFT_OUT:
        left = [sum(of[s][0] for s in found if s not in sources) for of in (found, published)]
        rows.append(PoolRow(f"without {', '.join(sources)}", (left[0],), (left[1],)))
    return rows


def _counts(pairs: Sequence[Pair], source: str) -> tuple[int, ...]:
    own = [pair for pair in pairs if pair.source == source]
    decisive = sum(pair.split == "test" and pair.label in ("a", "b") for pair in own)
    return (*(sum(pair.split == split for pair in own) for split in ("train", "valid", "test")), decisive)


def _sum(rows: Any) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))


def _present(data: Path, partial: bool) -> list[str]:
    present = [name for name in MEMBERS if (data / name).is_dir()]
    lacking = [name for name in MEMBERS if name not in present]
    if not present or (lacking and not partial):
        hint = "" if not present else "; --partial takes those that are there"
        raise ValueError(f"data: {data}: expected the folders {', '.join(MEMBERS)}, has no {', '.join(lacking)}{hint}")
    return present


def _part(name: str, options: Mapping[str, Any], splits: Path, strict: bool) -> SourcePairs:
    member = MEMBERS[name]
    own = {option: options[option] for option in member.options if option in options}
    if "audio_out" in own:
        own["audio_out"] = own["audio_out"] / member.clips
    own |= {option: options["data"] / name / folder for option, folder in member.folders.items()}
    part = source_pairs(name, own, splits, strict)
    moved = [
        replace(pair, audio_a=f"{member.clips}/{pair.audio_a}", audio_b=f"{member.clips}/{pair.audio_b}")
        for pair in part.pairs
    ]
    return SourcePairs(moved, part.report)


def _link(data: Path, root: Path, names: Any) -> None:
    """Audio that is in files already stays where it is: the root gets a link to it."""
    for name in names:
        link = root / name
        if MEMBERS[name].clips == name and link.resolve() != (data / name).resolve():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((data / name).resolve(), target_is_directory=True)
