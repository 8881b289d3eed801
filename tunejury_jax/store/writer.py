"""Filling a store: plan it, write its blocks, seal it.

A block is written by one worker, whole, as one object; its commit is written afterwards and is what makes the block
count. A killed worker therefore leaves at most blocks without a commit, which the next run writes again, to the
same bytes (store.md section 2).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorstore as ts
from google_crc32c import value as crc32c
from jaxtyping import Float

from tunejury_jax.pairs import Pair
from tunejury_jax.store import kv
from tunejury_jax.store.arrays import create_array, feature_array, open_array, pair_arrays
from tunejury_jax.store.feature_store import FeatureStore, commit_key
from tunejury_jax.store.kv import StoreError
from tunejury_jax.store.plan import EncoderSpec, Plan, canonical_json, difference
from tunejury_jax.store.tables import Tables

__all__ = ["plan_store", "seal_store", "write_block"]

MAX_REASON_CHARS = 300


def plan_store(
    location: str,
    pairs: Sequence[Pair],
    encoders: Sequence[EncoderSpec],
    *,
    block_rows: int,
    environment: Mapping[str, str] | None = None,
) -> FeatureStore:
    """Plans a store: writes its tables, creates its arrays and, last, `store.json`.

    Args:
        location: Local folder, or a `file://`, `gs://` or `s3://` URL.
        pairs: All pairs of the store, split included.
        encoders: What will be encoded.
        block_rows: Rows a worker encodes, writes and commits at a time.
        environment: Library versions, recorded for readers and not compared.

    Returns:
        The store; planning the same again returns it unchanged.

    Raises:
        StoreError: A store with another plan stands there already; says what differs.
    """
    tables = Tables.of(pairs)
    specs = {spec.block.name: spec for spec in encoders}
    plan = Plan(block_rows, tables.specs(), specs, tables.sources, environment or {})
    root = kv.open_root(location)
    if not kv.exists(root, "store.json"):
        _write_tables(root, plan, tables)
        for name in plan.encoders:
            create_array(root, feature_array(plan, name))
        kv.put_if_absent(root, "store.json", canonical_json(plan.to_json()))
    store = FeatureStore.open(location)
    _refuse_other_plan(location, plan, store.plan)
    return store


def write_block(
    store: FeatureStore,
    encoder: str,
    block: int,
    rows: Float[np.ndarray, "rows dim"],
    failed: Mapping[int, str],
    facts: Mapping[str, Any] | None = None,
) -> bool:
    """Writes the rows of one block and commits it; returns False if it was committed already.

    Args:
        store: A planned store.
        encoder: Name of the array.
        block: Number of the block.
        rows: One row a row of the block; what stands in the rows of `failed` is not kept.
        failed: Row number in the table -> why it has no embedding.
        facts: More to record in the commit, for example digests of the audio files.

    Raises:
        StoreError: Wrong shape, a failed row of another block, or a row not declared failed that is not finite in the
            store's type.
    """
    key = commit_key(encoder, block)
    if kv.exists(store.root, key):
        return False
    padded = _padded(store, encoder, block, rows, failed)
    low, high = store.bounds(encoder, block)
    array = open_array(store.root, feature_array(store.plan, encoder))
    writing = array[low : low + store.plan.block_rows].write(padded)
    kv.finished(writing, f"{encoder}, block {block}: cannot be written", kv.DATA_TIMEOUT_S)
    commit = {
        "block": block,
        "lo": low,
        "hi": high,
        "fingerprint": store.plan.encoders[encoder].fingerprint,
        "crc32c": crc32c(padded[: high - low].tobytes()),
        "failed": {str(row): reason[:MAX_REASON_CHARS] for row, reason in sorted(failed.items())},
        **(facts or {}),
    }
    return kv.put_if_absent(store.root, key, canonical_json(commit))


def seal_store(store: FeatureStore) -> dict[str, Any]:
    """Verifies every row and writes `SEALED.json`: the store is complete from now on; returns the seal.

    Raises:
        StoreError: A block is missing or does not verify.
    """
    seal = store.digest()
    kv.put(store.root, "SEALED.json", canonical_json(seal))
    return seal


def _write_tables(root: ts.KvStore, plan: Plan, tables: Tables) -> None:
    for name, data in tables.to_parquet().items():
        kv.put(root, f"tables/{name}-00000.parquet", data)
    for array, values in zip(pair_arrays(plan), tables.arrays(), strict=True):
        kv.finished(create_array(root, array).write(values), f"{array.prefix}: cannot be written", kv.DATA_TIMEOUT_S)


def _refuse_other_plan(location: str, wanted: Plan, found: Plan) -> None:
    if wanted != found:
        lines = difference(wanted.to_json() | {"environment": {}}, found.to_json() | {"environment": {}})
        raise StoreError(f"{location}: holds a store with another plan; asked for " + "; ".join(lines))


def _padded(
    store: FeatureStore, encoder: str, block: int, rows: Float[np.ndarray, "rows dim"], failed: Mapping[int, str]
) -> Float[np.ndarray, "block_rows dim"]:
    low, high = store.bounds(encoder, block)
    spec = store.plan.encoders[encoder]
    if rows.shape != (high - low, spec.block.dim):
        raise StoreError(f"{encoder}, block {block}: got rows of {rows.shape}, expected {(high - low, spec.block.dim)}")
    if strangers := sorted({*failed} - {*range(low, high)}):
        raise StoreError(f"{encoder}, block {block}: failed rows {strangers[:5]} are not among {low} to {high - 1}")
    padded = np.full((store.plan.block_rows, spec.block.dim), np.nan, spec.dtype)
    with np.errstate(over="ignore"):  # an overflow to float16 is refused below, with its row
        padded[: high - low] = rows
    padded[[row - low for row in failed]] = np.nan
    unusable = np.flatnonzero(~np.isfinite(padded[: high - low]).all(axis=1)) + low
    if undeclared := sorted({*unusable.tolist()} - {*failed}):
        raise StoreError(f"{encoder}, block {block}: rows {undeclared[:5]} are not finite as {spec.dtype}")
    return padded
