"""Comparisons of sound quality: of two takes the one on the better rung wins, whatever the kind of damage.

Half of them, as far as the takes suffice, are of one song, where only the damage differs; the others are of two songs.
Two takes of equal rung are a tie, two of the worst rung are both bad.
"""

import numpy as np
from jaxtyping import Bool, Int

from feature_export.demo.config import DemoConfig
from feature_export.demo.damage import RUNGS
from feature_export.demo.draws import Use, stream
from feature_export.demo.listener import present
from feature_export.demo.song import describe, draw_song
from feature_export.demo.takes import Take, draw_takes
from tunejury_jax.pairs import Label, Pair, Split

__all__ = ["SOURCE", "damage_pairs"]

SOURCE = "demo-damage"
Chosen = Int[np.ndarray, "pairs 2"]
"""Two takes a row, by number."""


def damage_pairs(config: DemoConfig, split: Split) -> list[Pair]:
    """The quality comparisons of one split; fewer than configured only where there are not so many pairs of takes."""
    songs = config.splits()[split]
    rng = stream(config.seed, songs.start, Use.DAMAGE_PAIRS)
    takes = [take for song in songs for take in draw_takes(config, song)]
    return [
        present(_pair(f"{SOURCE}-{split}-{n:05d}", split, config, (takes[i], takes[j]), rng), config.flip_rate, rng)
        for n, (i, j) in enumerate(_choose(config, takes, len(songs), rng))
    ]


def _choose(config: DemoConfig, takes: list[Take], songs: int, rng: np.random.Generator) -> Chosen:
    """The ties first, then those both bad, of one song, of two songs."""
    song, rung = np.array([(take.song, take.rung) for take in takes]).T
    every = np.stack(np.triu_indices(len(takes), k=1), axis=1)
    same_song, same_rung = (np.equal(*facts[every.T]) for facts in (song, rung))
    worst = same_rung & (rung[every[:, 0]] == RUNGS)
    total = songs * config.damage_pairs_per_song
    ties, bad = round(total * config.tie_rate), round(total * config.both_bad_rate)
    level = [_sample(every, same_rung & ~worst, ties, rng), _sample(every, worst, bad, rng)]
    within = _sample(every, same_song & ~same_rung, (total - ties - bad) // 2, rng)
    across = _sample(every, ~same_song & ~same_rung, total - ties - bad - len(within), rng)
    return np.concatenate([*level, within, across])


def _sample(
    every: Chosen, where: Bool[np.ndarray, " pairs"], count: int, rng: np.random.Generator
) -> Int[np.ndarray, "sampled 2"]:
    return rng.permutation(every[where])[:count]


def _pair(name: str, split: Split, config: DemoConfig, pair: tuple[Take, Take], rng: np.random.Generator) -> Pair:
    a, b = pair
    return Pair(
        id=name,
        source=SOURCE,
        audio_a=a.path,
        audio_b=b.path,
        label=_better(a, b),
        question="quality",
        prompt=_prompt(config, a, b, rng),
        system_a=a.system,
        system_b=b.system,
        split=split,
    )


def _better(a: Take, b: Take) -> Label:
    if a.rung == b.rung:
        return "both_bad" if a.rung == RUNGS else "tie"
    return "a" if a.rung < b.rung else "b"


def _prompt(config: DemoConfig, a: Take, b: Take, rng: np.random.Generator) -> str:
    """Describes the song; of two songs either one, or none in half of the cases. It never hints at the winner."""
    if a.song != b.song and rng.random() < 0.5:
        return ""
    song = (a, b)[rng.integers(2)].song
    return describe(draw_song(config.seed, song), wording=int(rng.integers(2)))
