"""Small feature stores, whole or damaged: random rows of known bits, and no audio."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tunejury_jax.blocks import Block
from tunejury_jax.pairs import LABELS, SPLITS, Pair
from tunejury_jax.store import EncoderSpec, FeatureStore, plan_store, seal_store, write_block

__all__ = [
    "AUDIO",
    "FAILED",
    "HALF",
    "SPECS",
    "TEXT",
    "edit_json",
    "expected_rows",
    "fill",
    "make_pairs",
    "planned",
    "sealed",
    "snapshot",
]

AUDIO = EncoderSpec(Block("audio", 4, "clip"), {"encoder": "audio", "revision": "1", "path": {"crop": "middle"}})
HALF = EncoderSpec(Block("half", 3, "clip"), {"encoder": "half", "revision": "1"}, "float16")
TEXT = EncoderSpec(Block("text", 2, "prompt"), {"encoder": "text", "revision": "1", "rate": None})
SPECS = (AUDIO, HALF, TEXT)
FAILED = {3: "no such file", 8: "truncated"}


def make_pairs(clips: int = 10, prompts: int = 3) -> list[Pair]:
    """Pairs over exactly so many clips and prompts; every label and split occurs where there are four or more."""
    return [
        Pair(
            id=f"p{number:03}",
            source="Alpha",
            audio_a=f"{number % clips:03}.wav",
            audio_b=f"{(number + 1) % clips:03}.wav",
            label=LABELS[number % 4],
            prompt=f"prompt {number % prompts}" if prompts else "",
            split=SPLITS[number % 4],
            system_a="one",
            confidence=float(number),
        )
        for number in range(max(clips, prompts))
    ]


def planned(location: Path, block_rows: int = 4, clips: int = 10, prompts: int = 3) -> FeatureStore:
    return plan_store(str(location), make_pairs(clips, prompts), SPECS, block_rows=block_rows)


def expected_rows(store: FeatureStore, encoder: str, failed: Mapping[int, str] = FAILED) -> np.ndarray:
    """What `fill` writes, in the type of the array: signed zeros, subnormals and extremes are among it."""
    spec = store.plan.encoders[encoder]
    shape = (store.plan.rows(encoder), spec.block.dim)
    values = np.random.default_rng(spec.block.dim).standard_normal(shape).astype(spec.dtype)
    limits = np.finfo(spec.dtype)
    special = np.array([0.0, -0.0, limits.max, limits.min, limits.smallest_subnormal], spec.dtype)
    values.ravel()[: special.size] = special[: values.size]
    if spec.block.table == "clip":
        values[[row for row in failed if row < len(values)]] = np.nan
    return values


def fill(store: FeatureStore, failed: Mapping[int, str] = FAILED) -> None:
    """Writes every block that has no commit."""
    for encoder, spec in store.plan.encoders.items():
        values = expected_rows(store, encoder, failed)
        for block in store.pending(encoder):
            low, high = store.bounds(encoder, block)
            lost = {row: why for row, why in failed.items() if low <= row < high and spec.block.table == "clip"}
            write_block(store, encoder, block, values[low:high], lost)


def sealed(location: Path, block_rows: int = 4, clips: int = 10, prompts: int = 3) -> FeatureStore:
    store = planned(location, block_rows, clips, prompts)
    fill(store)
    seal_store(store)
    return FeatureStore.open_sealed(str(location))


def edit_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes a JSON file in place."""
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a store by its path, but not the locks that a killed writer leaves."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in _files(folder)}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(".__lock"))
