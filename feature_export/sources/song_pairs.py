"""Pairs drawn from rated songs: far enough apart to say which is better, no two songs twice, sides by chance."""

import random
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

__all__ = ["MIN_GAP", "SongPair", "draw_song_pairs"]

MIN_GAP = 0.5


class SongPair(NamedTuple):
    """Two songs and the better one's side."""

    song_a: str
    song_b: str
    label: Literal["a", "b"]


def draw_song_pairs(scores: Mapping[str, float], count: int, seed: int) -> list[SongPair]:
    """Draws pairs as published: two of the songs at a time, kept if they differ by 0.5 and are new.

    Sides have a generator of their own, so they do not change which songs are drawn.

    Args:
        scores: Song -> mean rating; their order is part of the drawing.
        count: Pairs to draw.
        seed: Of both generators.

    Raises:
        ValueError: There are not so many pairs of songs that differ enough.
    """
    _check_enough(np.array(list(scores.values())), count)
    songs, draw, sides = list(scores), random.Random(seed), random.Random(f"sides/{seed}")
    seen: set[frozenset[str]] = set()
    pairs = []
    while len(pairs) < count:
        one, two = draw.sample(songs, 2)
        if abs(scores[one] - scores[two]) >= MIN_GAP and frozenset((one, two)) not in seen:
            seen.add(frozenset((one, two)))
            better, worse = (one, two) if scores[one] > scores[two] else (two, one)
            a_wins = sides.random() < 0.5
            pairs.append(SongPair(better, worse, "a") if a_wins else SongPair(worse, better, "b"))
    return pairs


def _check_enough(scores: np.ndarray, count: int) -> None:
    """Without enough pairs the drawing would never end."""
    twice = 0
    for score in scores:
        twice += int(np.count_nonzero(np.abs(scores - score) >= MIN_GAP))
        if twice >= 2 * count:
            return
    raise ValueError(
        f"songs: {twice // 2} pairs of the {len(scores)} songs differ by {MIN_GAP} or more, {count} are to be drawn"
    )
