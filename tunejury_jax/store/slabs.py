"""Reading the rows of an encoder piece by piece, each block checked against its commit.

A slab is some whole blocks, so large that the work of a read does not matter and so small that a few of them fit into
any memory. Two are held at once: while one is used, the next is read.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import tensorstore as ts
from google_crc32c import value as crc32c
from jaxtyping import Bool, Float

from tunejury_jax.store.arrays import ArraySpec, allocate, feature_array, open_array
from tunejury_jax.store.kv import DATA_TIMEOUT_S, StoreError, finished
from tunejury_jax.store.plan import Plan

__all__ = ["SLAB_BYTES", "Features", "Slab", "read_slabs", "slab_rows"]

SLAB_BYTES = 64 << 20
SLABS_HELD = 2


class Features(NamedTuple):
    """The rows of one encoder; a row whose audio could not be encoded is NaN and not `ok`."""

    values: Float[np.ndarray, "rows dim"]
    ok: Bool[np.ndarray, " rows"]


class Slab(NamedTuple):
    """Consecutive rows of an encoder, from row `low`."""

    low: int
    features: Features


def slab_rows(plan: Plan, encoder: str) -> int:
    """Rows of a slab: as many whole blocks as `SLAB_BYTES` hold, and at least one."""
    return max(1, SLAB_BYTES // (plan.block_rows * plan.encoders[encoder].row_bytes())) * plan.block_rows


def read_slabs(root: ts.KvStore, plan: Plan, encoder: str, commits: Iterable[Mapping[str, Any]]) -> Iterator[Slab]:
    """Reads all rows of an encoder in order, as slabs that are verified.

    Args:
        root: Of the store.
        plan: Of the store.
        encoder: Name of the array.
        commits: One of each block, in order.

    Raises:
        StoreError: A block cannot be read, was written by another encoder, or does not match its checksum; or the rows
            that are not finite are not the rows recorded as failed.
    """
    array, of_blocks = feature_array(plan, encoder), iter(commits)
    reading: deque[_Reading] = deque()
    source = open_array(root, array)
    for low in range(0, plan.rows(encoder), slab_rows(plan, encoder)):
        reading.append(_Reading(source, array, low, min(low + slab_rows(plan, encoder), plan.rows(encoder))))
        if len(reading) == SLABS_HELD:
            yield reading.popleft().slab(plan, encoder, of_blocks)
    while reading:
        yield reading.popleft().slab(plan, encoder, of_blocks)


class _Reading:
    """A slab that is on its way."""

    def __init__(self, source: ts.TensorStore, array: ArraySpec, low: int, high: int) -> None:
        self._low, self._what = low, f"{array.prefix}: cannot be read"
        self._values = allocate(array.prefix, (high - low, array.shape[1]), array.dtype)
        self._future = ts.array(self._values).write(source[low:high])

    def slab(self, plan: Plan, encoder: str, commits: Iterator[Mapping[str, Any]]) -> Slab:
        finished(self._future, self._what, DATA_TIMEOUT_S)
        starts = range(0, len(self._values), plan.block_rows)
        ok = [
            _verified(plan, encoder, commit, self._values[start : start + plan.block_rows])
            for start, commit in zip(starts, islice(commits, len(starts)), strict=True)
        ]
        return Slab(self._low, Features(self._values, np.concatenate(ok)))


def _verified(
    plan: Plan, encoder: str, commit: Mapping[str, Any], values: Float[np.ndarray, "rows dim"]
) -> Bool[np.ndarray, " rows"]:
    """Which rows of a block are embeddings, once it is what was committed."""
    where = f"{encoder}, block {commit['block']}"
    ours, theirs = plan.encoders[encoder].fingerprint, commit.get("fingerprint")
    if ours != theirs:
        raise StoreError(f"{where}: written by another encoder: fingerprint {theirs!r}, the plan has {ours!r}")
    if crc32c(values.tobytes()) != commit.get("crc32c"):
        raise StoreError(f"{where}: data does not match its commit; delete the commit and encode the block again")
    ok = np.ones(len(values), bool)
    ok[[int(row) - commit["block"] * plan.block_rows for row in commit["failed"]]] = False
    if not np.array_equal(np.isfinite(values).all(axis=1), ok):
        raise StoreError(f"{where}: the rows that are not finite are not the rows recorded as failed")
    return ok
