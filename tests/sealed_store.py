"""Small sealed stores for training tests: random features with a planted preference, and no audio."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunejury_jax.blocks import SIGNAL, Block
from tunejury_jax.pairs import Pair
from tunejury_jax.store import EncoderSpec, FeatureStore, plan_store, seal_store, write_block

__all__ = ["EXTRA", "FACTS", "TOY", "WORDS", "seal", "toy_pairs", "toy_store", "toy_values"]

TOY = EncoderSpec(Block("toy", 8, "clip"), {"encoder": "toy", "revision": "1"})
EXTRA = EncoderSpec(Block("extra", 3, "clip"), {"encoder": "extra", "revision": "1"}, "float16")
WORDS = EncoderSpec(Block("words", 4, "prompt"), {"encoder": "words", "revision": "1"})
FACTS = EncoderSpec(SIGNAL, {"encoder": "signal", "revision": "1"})

SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}


def seal(
    location: Path,
    pairs: Sequence[Pair],
    specs: Sequence[EncoderSpec],
    values: Mapping[str, np.ndarray],
    failed: Mapping[str, Mapping[int, str]] | None = None,
) -> FeatureStore:
    """Plans, fills and seals a store; `values` has one row a row of the block's table, which is sorted."""
    store = plan_store(str(location), pairs, specs, block_rows=32)
    for name in store.plan.encoders:
        for block in range(store.plan.blocks(name)):
            low, high = store.bounds(name, block)
            lost = {row: why for row, why in (failed or {}).get(name, {}).items() if low <= row < high}
            write_block(store, name, block, values[name][low:high], lost)
    seal_store(store)
    return FeatureStore.open_sealed(str(location))


def toy_values(clips: int, prompts: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """Features of every encoder here, by block."""
    generator = np.random.default_rng(seed)
    rows = {"toy": (clips, 8), "extra": (clips, 3), "words": (prompts, 4), "signal": (clips, SIGNAL.dim)}
    return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in rows.items()}


def toy_pairs(toy: np.ndarray, count: int, seed: int = 0) -> list[Pair]:
    """Pairs within two sources; the better clip is the one whose first column is larger, and one in twelve is a tie."""
    generator = np.random.default_rng(seed)
    splits = generator.choice(list(SHARES), count, p=list(SHARES.values()))
    return [_pair(number, str(splits[number]), toy, generator) for number in range(count)]


def toy_store(
    location: Path, pairs: int = 240, seed: int = 0, specs: Sequence[EncoderSpec] = (TOY, WORDS, FACTS)
) -> FeatureStore:
    """A sealed store with a preference that a small head learns."""
    values = toy_values(80, seed=seed)
    return seal(location, toy_pairs(values["toy"], pairs, seed), specs, values)


def _pair(number: int, split: Any, toy: np.ndarray, generator: np.random.Generator) -> Pair:
    # Clip keys are sorted and numbered with leading zeros, the first source first: a clip's number is its row.
    half = len(toy) // 2
    a, b = half * (number % 2) + generator.choice(half, 2, replace=False)
    label = "tie" if number % 12 == 0 else "a" if toy[a, 0] > toy[b, 0] else "b"
    source, prompt = ("Alpha", "Beta")[number % 2], ("", "calm piano", "fast drums", "a choir")[number % 4]
    return Pair(f"p{number:04}", source, f"{a:03}.wav", f"{b:03}.wav", label, prompt=prompt, split=split)
