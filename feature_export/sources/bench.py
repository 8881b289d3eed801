"""CMI-RewardBench's test file: which Music Arena battles are on it."""

import re
from pathlib import Path

from feature_export.sources.rows import Row, once, read_rows

__all__ = ["MUSIC_ARENA", "bench_battles"]

MUSIC_ARENA = "Music Arena"
_BATTLE = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-[ab]\.mp3$")


def bench_battles(path: Path) -> set[str]:
    """The uuids of the benchmark's Music Arena battles, taken from the names of their audio files.

    Raises:
        ValueError: A row of Music Arena without a uuid, with two, or with another row's; or no such row at all.
    """
    seen: dict[str, str] = {}
    for row in read_rows(path):
        if MUSIC_ARENA in row.text("source"):
            once(seen, "battle uuid", _battle(row), row.where)
    if not seen:
        raise ValueError(f"{path}: source: no row contains {MUSIC_ARENA!r}")
    return set(seen)


def _battle(row: Row) -> str:
    uuids = {match[1] for field in ("audio-path", "audio2") if (match := _BATTLE.search(row.text(field)))}
    if len(uuids) != 1:
        raise row.refuse("audio-path", "a name that ends in <battle uuid>-a.mp3, with the same uuid in audio2")
    return uuids.pop()
