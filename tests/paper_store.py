"""A small sealed store with the published sources and blocks, but few columns' worth of meaning and no audio."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sealed_store import seal

from tunejury_jax.blocks import BLOCKS
from tunejury_jax.pairs import Pair
from tunejury_jax.store import EncoderSpec, FeatureStore

__all__ = ["LATER", "MUQ", "RELEASE", "SOURCES", "SPECS", "later_battles", "paper_pairs", "paper_store"]

SOURCES = ("MusicArena", "MusicPrefs", "AIME", "SongEval")
RELEASE, MUQ = ("clap_audio", "mert", "clap_text"), ("muq_audio", "muq_text")
SPECS = {b.name: EncoderSpec(b, {"encoder": b.name, "revision": "1"}) for b in BLOCKS if b.name in (*RELEASE, *MUQ)}
SPLITS = ("train", "train", "valid", "test", "test")
CLIPS, LATER = 4, 9


def paper_pairs(sources: Sequence[str] = SOURCES) -> list[Pair]:
    """Five pairs of four clips of each source: two to train on, one to validate on, two to test on."""
    return [
        Pair(f"{source}-{n}", source, f"{n % CLIPS}.wav", f"{(n + 1) % CLIPS}.wav", "ab"[n % 2], prompt="calm", split=s)
        for source in sources
        for n, s in enumerate(SPLITS)
    ]


def later_battles(**changes: Any) -> list[Pair]:
    """Nine battles of Music Arena in no split, b winning every third."""
    facts = {"prompt": "fast", "split": "none"} | changes
    clips = [(f"{n % CLIPS}.wav", f"{(n + 1) % CLIPS}.wav") for n in range(LATER)]
    return [Pair(f"later-{n}", "MusicArena", a, b, "aab"[n % 3], **facts) for n, (a, b) in enumerate(clips)]


def paper_store(
    location: Path,
    pairs: Sequence[Pair] | None = None,
    blocks: Sequence[str] = (*RELEASE, *MUQ),
    failed: Mapping[str, Mapping[int, str]] | None = None,
) -> FeatureStore:
    """A store of these pairs, by default of all that are here; clips are sorted by source and number."""
    pairs = [*paper_pairs(), *later_battles()] if pairs is None else pairs
    clips = len({clip for pair in pairs for clip in (pair.clip_a, pair.clip_b)})
    prompts = len({pair.prompt for pair in pairs if pair.prompt})
    generator = np.random.default_rng(0)
    rows = {"clip": clips, "prompt": prompts}
    shapes = {name: (rows[SPECS[name].block.table], SPECS[name].block.dim) for name in blocks}
    values = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return seal(location, pairs, [SPECS[name] for name in blocks], values, failed)
