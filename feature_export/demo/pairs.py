"""Comparisons of the demo data set, and what its listener says to them.

Two questions, one source each. `demo-damage` asks which clip sounds better: of two takes the one on the better rung.
`demo-prompt` asks which of two clean songs answers a prompt that describes one of them. Every two songs are compared
twice, once with the description of each, so neither sound nor text alone can tell the winner.
"""

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from feature_export.demo.config import DemoConfig
from feature_export.demo.draws import Use, stream
from feature_export.demo.song import Song, describe, draw_song
from feature_export.demo.takes import Take, draw_takes
from tunejury_jax.pairs import Label, Pair, Split
from feature_export.demo.damage import RUNGS

__all__ = ["DAMAGE_SOURCE", "PROMPT_SOURCE", "demo_pairs"]

DAMAGE_SOURCE, PROMPT_SOURCE = "demo-damage", "demo-prompt"
Both = tuple[Take, Take]


def demo_pairs(config: DemoConfig) -> list[Pair]:
    out = []
    for number, (split, songs) in enumerate(config.splits().items()):
        drawn = {i: draw_song(config.seed, i) for i in songs}
        out += damage_pairs(config, split, number, drawn)
        out += prompt_pairs(config, split, number, drawn)
    return out


def damage_pairs(config, split, number, songs):
    rng = stream(config.seed, number, Use.DAMAGE_PAIRS)
    takes = [t for s in songs for t in draw_takes(config, s)]
    cands = list(combinations(takes, 2))
    eq = np.array([a.rung == b.rung for a, b in cands])
    worst = np.array([a.rung == RUNGS for a, b in cands])
    same = np.array([a.song == b.song for a, b in cands])
    n = len(songs) * config.damage_pairs_per_song
    nt, nb = round(n * config.tie_rate), round(n * config.both_bad_rate)
    pick = lambda m, k: [cands[i] for i in rng.choice(np.flatnonzero(m), min(k, m.sum()), replace=False)]
    ties, bad = pick(eq & ~worst, nt), pick(eq & worst, nb)
    same_ = pick(~eq & same, (n - nt - nb) // 2)
    cross = pick(~eq & ~same, n - nt - nb - len(same_))
    out = []
    for k, (a, b) in enumerate(ties + bad + same_ + cross):
        if rng.random() < .5: a, b = b, a
        if a.rung == b.rung: label = "both_bad" if a.rung == RUNGS else "tie"
        else:
            label = "ab"[int((a.rung < b.rung) == (rng.random() < config.flip_rate))]
        desc = describe(songs[(a, b)[rng.integers(2)].song], int(rng.integers(99)))
        if a.song != b.song and rng.random() < .5: desc = ""
        out.append(Pair(f"demo-damage-{split}-{k}", DAMAGE_SOURCE, a.path, b.path, label, "quality", desc, system_a=a.system, system_b=b.system, split=split))
    return out


def prompt_pairs(config, split, number, songs):
    rng = stream(config.seed, number, Use.PROMPT_PAIRS)
    cands = [(a, b) for a, b in combinations(songs, 2) if sum(x != y for x, y in zip(songs[a].audible, songs[b].audible)) >= 2]
    n = len(songs) * config.prompt_pairs_per_song // 2
    out = []
    for i in rng.choice(len(cands), min(n, len(cands)), replace=False):
        for win in (0, 1):
            a, b = cands[i][win], cands[i][1 - win]
            desc = describe(songs[a], int(rng.integers(99)))
            first = rng.random() < .5
            right = rng.random() >= config.flip_rate
            label = "a" if first == right else "b"
            if not first: a, b = b, a
            out.append(Pair(f"demo-prompt-{split}-{i}-{win}", PROMPT_SOURCE, Take(a).path, Take(b).path, label, "prompt", desc, system_a="clean", system_b="clean", split=split))
    return out
