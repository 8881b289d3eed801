"""Retraining on K more battles: which are added, and which its heads are measured on (spec.md section 4)."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from tunejury_jax.blocks import SIGNAL
from tunejury_jax.documents import read_object
from tunejury_jax.pairs import LABELS, SPLITS
from tunejury_jax.store import FeatureStore

__all__ = ["KS", "MissingError", "added", "k_name", "k_split", "k_universe"]

KS, K_POOL = (0, 3, 10, 30, 100, 250), 299
MAX_INCREMENT_BYTES = 16 << 20
PREFIX = "K="


class MissingError(ValueError):
    """The store, or the command, lacks something that a preset needs."""


def k_name(k: int) -> str:
    """Name of the heads that K battles are added to."""
    return f"{PREFIX}{k}"


def added(name: str) -> int | None:
    """How many battles are added to a head of this name; None of a head that is not of the K-sweep."""
    return int(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None


def k_universe(increment: str | None, store: FeatureStore) -> list[str]:
    """Ids of the increment file, in its order, each once, of battles that can be added or measured on.

    Those are the pairs of the store that are in no split, and that have a winner and all features.

    Raises:
        MissingError: No increment file was named.
        ValueError: It is no such file, or the store has fewer than two of its pairs.
        OSError: It cannot be read.
    """
    if increment is None:
        raise MissingError("increment: k-sweep-retrain needs the file of the pairs to add: --increment FILE")
    listed = read_object(Path(increment), MAX_INCREMENT_BYTES).get("new_uuids")
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise ValueError(f"increment: {increment} has no list of ids `new_uuids`")
    ids = [record["pair_id"] for record in store.pair_records()]
    later = {ids[row] for row in np.flatnonzero(_unused(store) & _encoded(store))}
    universe = [name for name in dict.fromkeys(listed) if name in later]
    if len(universe) < 2:
        raise ValueError(
            f"increment: of the {len(listed)} pairs that {increment} lists, the store has {len(universe)} with a "
            "winner and features that are in no split; at least 2 are needed"
        )
    return universe


def k_split(universe: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Ids to add and ids to test on.

    The universe is shuffled by `random.Random(seed)`; its first 299 are the pool, the next 299 the test; half of it
    each where it is smaller.
    """
    shuffled, size = list(universe), min(K_POOL, len(universe) // 2)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:size], shuffled[size : 2 * size]


def _unused(store: FeatureStore) -> Bool[np.ndarray, " pairs"]:
    """Which pairs have a winner and are in no split: others are trained on already, or kept for judging."""
    pairs = store.pair_arrays()
    used = pairs.split != SPLITS.index("none")
    return ~used & np.isin(pairs.label, [LABELS.index("a"), LABELS.index("b")])


def _encoded(store: FeatureStore) -> Bool[np.ndarray, " pairs"]:
    """Which pairs have all features, so that the battles are the same whichever blocks a head reads."""
    index = store.pair_arrays().index
    encoded = np.ones(len(index), bool)
    for name, spec in store.plan.encoders.items():
        if name != SIGNAL.name:
            rows = index[:, :2] if spec.block.table == "clip" else index[:, 2:]
            encoded &= ~np.isin(rows, list(store.failures(name))).any(axis=1)
    return encoded
