"""Sealed feature stores with random features, for benchmarks that go through the command a user runs.

Pairs are within a source. A linear teacher hears all clip blocks, and a listener agrees with it as often as with the
teacher of `synthetic`, so that heads learn for some epochs and then stop on their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from benchmarks.synthetic import LISTENER_SCALE, NO_PROMPT, TIES
from tunejury_jax.blocks import Block
from tunejury_jax.pairs import Label, Pair, Split
from tunejury_jax.store import EncoderSpec, FeatureStore, plan_store, seal_store, write_block

__all__ = ["Sizes", "planted_store"]

BLOCK_ROWS = 1024


class Sizes(NamedTuple):
    """How large a store is: pairs by source and split, and the clips and prompts that they are drawn from."""

    blocks: Sequence[Block]
    pairs: Mapping[str, Mapping[Split, int]]
    clips: int
    prompts: int


def planted_store(location: Path, sizes: Sizes, seed: int = 0) -> FeatureStore:
    """Makes the store; the same seed makes the same."""
    rng = np.random.default_rng(seed)
    keys = sorted(_keys(sizes))
    features = {block.name: _features(block, len(keys), sizes.prompts, rng) for block in sizes.blocks}
    score = _teacher([features[block.name] for block in sizes.blocks if block.table == "clip"], rng)
    pairs = list(_pairs(sizes, keys, score, rng))
    heard = {clip.key for pair in pairs for clip in (pair.clip_a, pair.clip_b)}
    rows = np.flatnonzero([key in heard for key in keys])  # a store has no clip that no pair has
    specs = [EncoderSpec(block, {"encoder": block.name, "revision": "random"}) for block in sizes.blocks]
    store = plan_store(str(location), pairs, specs, block_rows=BLOCK_ROWS)
    for block in sizes.blocks:
        _fill(store, block.name, features[block.name][rows] if block.table == "clip" else features[block.name])
    seal_store(store)
    return FeatureStore.open_sealed(str(location))


def _fill(store: FeatureStore, encoder: str, values: np.ndarray) -> None:
    for block in range(store.plan.blocks(encoder)):
        low, high = store.bounds(encoder, block)
        write_block(store, encoder, block, values[low:high], {})


def _keys(sizes: Sizes) -> Iterator[str]:
    """Clips of each source, in proportion to its pairs."""
    count = {source: sum(splits.values()) for source, splits in sizes.pairs.items()}
    for source, pairs in count.items():
        clips = max(2, round(sizes.clips * pairs / sum(count.values())))
        yield from (f"{source}/{number:06}.wav" for number in range(clips))


def _features(block: Block, clips: int, prompts: int, rng: np.random.Generator) -> np.ndarray:
    rows = clips if block.table == "clip" else prompts
    return rng.standard_normal((rows, block.dim), np.float32)


def _teacher(features: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A score of every clip, scaled so that differences have unit variance."""
    score = sum(values @ rng.standard_normal(values.shape[1]) for values in features)
    return score / (np.std(score) * np.sqrt(2))


def _pairs(sizes: Sizes, keys: Sequence[str], score: np.ndarray, rng: np.random.Generator) -> Iterator[Pair]:
    for source, splits in sizes.pairs.items():
        rows = np.flatnonzero([key.startswith(f"{source}/") for key in keys])
        for split, count in splits.items():
            for number in range(count):
                a, b = (int(row) for row in rng.choice(rows, 2, replace=False))
                label = _label(float(score[a] - score[b]), rng)
                file_a, file_b = (keys[row].removeprefix(f"{source}/") for row in (a, b))
                prompt = "" if rng.random() < NO_PROMPT else f"prompt {rng.integers(sizes.prompts)}"
                yield Pair(f"{source}-{split}-{number}", source, file_a, file_b, label, prompt=prompt, split=split)


def _label(logit: float, rng: np.random.Generator) -> Label:
    if rng.random() < TIES:
        return "tie"
    return "a" if rng.random() < expit(LISTENER_SCALE * logit) else "b"
