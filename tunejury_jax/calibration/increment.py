"""The protocol of the K-sweep: which battles are labelled, which are judged (spec.md section 4).

The universe is the increment file's ids, in its order, that can be used. A seed shuffles it by
`random.Random(seed)`; its first 299 are the pool that labels are taken from, the next 299 the test.
"""

import random
from collections.abc import Sequence
from pathlib import Path

from tunejury_jax.documents import read_object

__all__ = ["KS", "POOL", "k_split", "read_increment"]

KS: tuple[int, ...] = (0, 3, 10, 30, 100, 250)
POOL = 299
MAX_BYTES = 16 << 20


def read_increment(path: Path) -> list[str]:
    """Ids of an increment file, in its order, each once.

    Raises:
        ValueError: It is no such file.
        OSError: It cannot be read.
    """
    listed = read_object(path, MAX_BYTES).get("new_uuids")
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise ValueError(f"increment: {path} has no list of ids `new_uuids`")
    return list(dict.fromkeys(listed))


def k_split(universe: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Ids of the pool and ids of the test; half of the universe each where it is smaller than two pools."""
    shuffled, size = list(universe), min(POOL, len(universe) // 2)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:size], shuffled[size : 2 * size]
