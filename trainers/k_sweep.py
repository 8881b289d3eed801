"""Retraining on K more battles: which are added, and which its heads are measured on (spec.md section 4)."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from tunejury_jax.blocks import SIGNAL
from tunejury_jax.calibration.increment import KS, k_split, read_increment
from tunejury_jax.pairs import LABELS, SPLITS
from tunejury_jax.store import FeatureStore, PairArrays

__all__ = ["KS", "MissingError", "added", "k_name", "k_split", "k_universe"]

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
    listed = read_increment(Path(increment))
    ids = [record["pair_id"] for record in store.pair_records()]
    pairs = store.pair_arrays()
    later = {ids[row] for row in np.flatnonzero(_unused(pairs) & _encoded(store, pairs))}
    universe = [name for name in listed if name in later]
    if len(universe) < 2:
        raise ValueError(
            f"increment: of the {len(listed)} pairs that {increment} lists, the store has {len(universe)} with a "
            "winner and features that are in no split; at least 2 are needed"
        )
    return universe


def _unused(pairs: PairArrays) -> Bool[np.ndarray, " pairs"]:
    """Which pairs have a winner and are in no split: others are trained on already, or kept for judging."""
    used = pairs.split != SPLITS.index("none")
    return ~used & np.isin(pairs.label, [LABELS.index("a"), LABELS.index("b")])


def _encoded(store: FeatureStore, pairs: PairArrays) -> Bool[np.ndarray, " pairs"]:
    """Which pairs have all features, so that the battles are the same whichever blocks a head reads."""
    encoded = np.ones(len(pairs.index), bool)
    for name, spec in store.plan.encoders.items():
        if name != SIGNAL.name:
            rows = pairs.index[:, :2] if spec.block.table == "clip" else pairs.index[:, 2:]
            encoded &= ~np.isin(rows, list(store.failures(name))).any(axis=1)
    return encoded
