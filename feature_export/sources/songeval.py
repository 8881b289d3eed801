"""SongEval: songs rated on five axes, made into pairs of which the better rated song wins."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from feature_export.sources.reading import Reading, with_audio
from feature_export.sources.rows import Row, once, read_rows
from feature_export.sources.song_pairs import SongPair, draw_song_pairs
from feature_export.sources.song_split import split_songs
from tunejury_jax.errors import one_of
from tunejury_jax.pairs import Pair, Split

__all__ = ["read_songeval"]

AXES = ("Coherence", "Musicality", "Memorability", "Clarity", "Naturalness")
PAIRS = 3_760
ORDERS = ("name", "number")


def read_songeval(data: Path, *, seed: int = 42, song_order: str = "name") -> Reading:
    """Reads the ratings and draws 3,760 pairs; the n-th drawn, from 0, is `songeval_n`, six digits.

    Args:
        data: Folder with `metadata.jsonl` and the files it names.
        seed: Another seed gives other pairs, sides and splits.
        song_order: What the songs are sorted by before pairs are drawn: `name` of the file, or the `number` in it.
            The publication does not say.

    Raises:
        ValueError: A file that is missing or not as published, or too few songs that differ enough.
    """
    rows = list(read_rows(data / "metadata.jsonl"))
    seen: dict[str, str] = {}
    for row in rows:
        once(seen, "file_name", row.text("file_name"), row.where)
    scores = {row.text("file_name"): _score(row) for row in rows}
    drawn = draw_song_pairs({song: scores[song] for song in _ordered(scores, song_order)}, PAIRS, seed)
    ids = [f"songeval_{number:06d}" for number in range(len(drawn))]
    pairs = [_pair(pair_id, pair, seen) for pair_id, pair in zip(ids, drawn, strict=True)]
    paired = {song for pair in drawn for song in (pair.song_a, pair.song_b)}
    counts = {"songs": len(rows), "songs in pairs": len(paired), "pairs drawn": len(pairs)}
    own_splits = dict(zip(ids, _splits(drawn, seed), strict=True))
    return replace(with_audio("SongEval", pairs, counts, data), own_splits=own_splits)


def _ordered(songs: Iterable[str], order: str) -> list[str]:
    one_of("song_order", order, ORDERS)
    return sorted(songs, key=_number if order == "number" else None)


def _number(song: str) -> int:
    stem = PurePosixPath(song).stem
    if not (stem.isascii() and stem.isdecimal() and len(stem) <= 9):
        raise ValueError(f"song_order: expected files named by numbers, got {song!r}; accepted is 'name'")
    return int(stem)


def _score(row: Row) -> float:
    """Mean over raters of each axis, then over axes; float64 in this order, for a gap may lie at its bound."""
    ratings = row.get("annotation")
    if not isinstance(ratings, list) or not ratings or not all(isinstance(rating, dict) for rating in ratings):
        raise row.refuse("annotation", "a list with the ratings of at least one rater")
    raters = [Row(f"{row.where}, rater {number}", rating) for number, rating in enumerate(ratings, start=1)]
    return float(np.mean([np.mean([_rating(rater, axis) for rater in raters]) for axis in AXES]))


def _rating(rater: Row, axis: str) -> float:
    value = rater.get(axis)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 5:
        raise rater.refuse(axis, "a number from 1 to 5")
    return float(value)


def _pair(pair_id: str, drawn: SongPair, places: dict[str, str]) -> Pair:
    row = Row(places[drawn.song_a], {})
    return row.pair(id=pair_id, source="SongEval", audio_a=drawn.song_a, audio_b=drawn.song_b, label=drawn.label)


def _splits(drawn: list[SongPair], seed: int) -> list[Split]:
    """The split of both songs, or `none` where they are in two."""
    songs = split_songs([(pair.song_a, pair.song_b) for pair in drawn], seed)
    return [songs[pair.song_a] if songs[pair.song_a] == songs[pair.song_b] else "none" for pair in drawn]
