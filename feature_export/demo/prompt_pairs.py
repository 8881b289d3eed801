"""Comparisons of fit to a prompt: of two clean songs the one that the prompt describes wins.

The songs differ in at least three of the four attributes that a description names. Every two songs are compared
twice, once with the description of each: a head that reads only sound, or only text, is right half of the time.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from feature_export.demo.config import DemoConfig
from feature_export.demo.draws import Use, stream
from feature_export.demo.listener import present
from feature_export.demo.song import Song, describe, draw_song
from feature_export.demo.takes import draw_takes
from tunejury_jax.pairs import Pair, Split

__all__ = ["SOURCE", "prompt_pairs"]

SOURCE = "demo-prompt"
LEAST_DIFFERENCES = 3


def prompt_pairs(config: DemoConfig, split: Split) -> list[Pair]:
    """The prompt comparisons of one split; fewer than configured only where not so many songs differ enough."""
    numbers = config.splits()[split]
    rng = stream(config.seed, numbers.start, Use.PROMPT_PAIRS)
    songs = [draw_song(config.seed, number) for number in numbers]
    chosen = rng.permutation(_unlike(songs))[: len(songs) * config.prompt_pairs_per_song // 2]
    orders = ((i, j) for pair in chosen for i, j in (pair, pair[::-1]))
    return [
        present(_pair(f"{SOURCE}-{split}-{n:05d}", split, config, songs[i], songs[j], rng), config.flip_rate, rng)
        for n, (i, j) in enumerate(orders)
    ]


def _unlike(songs: Iterable[Song]) -> Int[np.ndarray, "pairs 2"]:
    """All pairs of songs, by place in `songs`, that differ in enough attributes."""
    audible = np.array([[str(value) for value in song.audible] for song in songs])
    differences = (audible[:, None] != audible).sum(axis=-1)
    return np.argwhere(np.triu(differences >= LEAST_DIFFERENCES))


def _pair(name: str, split: Split, config: DemoConfig, described: Song, other: Song, rng: np.random.Generator) -> Pair:
    a, b = (draw_takes(config, song.index)[0] for song in (described, other))
    return Pair(
        id=name,
        source=SOURCE,
        audio_a=a.path,
        audio_b=b.path,
        label="a",
        question="prompt",
        prompt=describe(described, wording=int(rng.integers(2))),
        system_a=a.system,
        system_b=b.system,
        split=split,
    )
