"""The feature store: the only meeting point of the encoders (torch) and the heads (JAX).

Three guards stand between an unwritten row and a reader: a block counts only once it is committed, a missing chunk
is an error, and a row that is not finite must be one that is recorded as failed (store.md section 2).
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorstore as ts

from tunejury_jax.pairs import LABELS, SPLITS, Clip
from tunejury_jax.store import kv
from tunejury_jax.store.arrays import allocate, pair_arrays, read_array
from tunejury_jax.store.kv import StoreError
from tunejury_jax.store.plan import Plan, canonical_json, difference
from tunejury_jax.store.slabs import Features, Slab, read_slabs
from tunejury_jax.store.tables import (
    MAX_PARQUET_BYTES,
    PAIR_COLUMNS,
    PairArrays,
    parse_clips,
    parse_rows,
    table_specs,
)

__all__ = ["FeatureStore", "Features", "commit_key"]

MAX_COMMIT_BYTES = 64 << 20
COMMIT_NAME = re.compile(r"[0-9]{8}\.json")


def commit_key(encoder: str, block: int) -> str:
    """Where the commit of a block stands."""
    return f"commits/{encoder}/{block:08d}.json"


class FeatureStore:
    """A planned store on a local disk or in a bucket, read by any number of processes at once."""

    def __init__(self, location: str, root: ts.KvStore, plan: Plan) -> None:
        self.location, self.root, self.plan = location, root, plan

    @classmethod
    def open(cls, location: str) -> "FeatureStore":
        """Opens a planned store, finished or not, or a dataset of several (`store.parts`).

        Raises:
            StoreError: No store there, or its plan is damaged or of another version.
        """
        root = kv.open_root(location)
        document = kv.read_json(root, "store.json")
        if document is not None:
            return FeatureStore(location, root, Plan.from_json(document))
        if not kv.exists(root, "dataset.json"):
            raise StoreError(f"{location}: no store.json: not a feature store, or its planning did not finish")
        from tunejury_jax.store.parts import open_dataset  # here: a dataset is a FeatureStore itself

        return open_dataset(location)

    @classmethod
    def open_sealed(cls, location: str) -> "FeatureStore":
        """Opens a finished store, for training.

        Raises:
            StoreError: As `open`, or the store is not sealed; says what is left to do.
        """
        store = cls.open(location)
        if not store.sealed:
            left = {name: len(blocks) for name in store.plan.encoders if (blocks := store.pending(name))}
            todo = f"encode these blocks, then seal: {left}" if left else "all blocks are encoded, seal it"
            raise StoreError(f"{location}: not sealed; with python -m feature_export, {todo}")
        return store

    @property
    def sealed(self) -> bool:
        return kv.exists(self.root, "SEALED.json")

    @property
    def sha256(self) -> str:
        """Identity of a sealed store: a digest of its plan and its seal."""
        seal = kv.read_json(self.root, "SEALED.json", MAX_COMMIT_BYTES)
        plan = self.plan.to_json() | {"environment": {}}
        return hashlib.sha256(canonical_json([plan, seal])).hexdigest()

    def clips(self) -> tuple[Clip, ...]:
        """The clip of each clip row."""
        return parse_clips(self._parquet("clips"))

    def prompts(self) -> tuple[str, ...]:
        """The text of each prompt row."""
        return tuple(row["text"] for row in parse_rows("prompts", self._parquet("prompts"), ["text"]))

    def pair_records(self) -> list[dict[str, Any]]:
        """Id and strings of each pair, for reports."""
        return parse_rows("pairs", self._parquet("pairs"), ["pair_id", *PAIR_COLUMNS])

    def pair_arrays(self) -> PairArrays:
        """The pairs as integers.

        Raises:
            StoreError: Damaged, or a row number or a code points outside its table.
        """
        arrays = PairArrays(*(read_array(self.root, array) for array in pair_arrays(self.plan)))
        limits = [self.plan.tables[table].rows for table in ("clip", "clip", "prompt")]
        if (arrays.index >= limits).any() or (arrays.index < [0, 0, -1]).any():
            raise StoreError(f"{self.location}: pairs/index points outside its tables of {limits} rows")
        for name, names in (("label", LABELS), ("source", self.plan.sources), ("split", SPLITS)):
            if (getattr(arrays, name) >= len(names)).any():
                raise StoreError(f"{self.location}: pairs/{name} has a code that stands for none of {list(names)}")
        return arrays

    def bounds(self, encoder: str, block: int) -> tuple[int, int]:
        """First row of a block, and the row after its last.

        Raises:
            StoreError: The encoder has no such block.
        """
        if not 0 <= block < self.plan.blocks(encoder):
            raise StoreError(f"{encoder}: has no block {block}, it has {self.plan.blocks(encoder)}")
        low = block * self.plan.block_rows
        return low, min(low + self.plan.block_rows, self.plan.rows(encoder))

    def pending(self, encoder: str, shard: tuple[int, int] = (0, 1)) -> list[int]:
        """Blocks without a commit; of these, shard `(i, n)` has the ones with block % n == i.

        Raises:
            ValueError: Not 0 <= i < n.
        """
        index, count = shard
        if not 0 <= index < count:
            raise ValueError(f"shard: got {index}/{count}, expected i/n with 0 <= i < n")
        done = set(self._committed(encoder))
        return [b for b in range(self.plan.blocks(encoder)) if b not in done and b % count == index]

    def commits(self, encoder: str) -> Iterator[dict[str, Any]]:
        """The commits of an encoder, in block order.

        Raises:
            StoreError: One is damaged.
        """
        blocks = self._committed(encoder)
        keys = [commit_key(encoder, block) for block in blocks]
        for block, key, commit in zip(blocks, keys, kv.read_all_json(self.root, keys, MAX_COMMIT_BYTES), strict=True):
            if commit is None or commit.get("block") != block:
                raise StoreError(f"{key}: missing, or the commit of another block")
            _check_failed(key, commit.get("failed"), range(*self.bounds(encoder, block)))
            yield commit

    def failures(self, encoder: str) -> dict[int, str]:
        """Row -> reason, for the rows of committed blocks that could not be encoded."""
        return {int(row): why for commit in self.commits(encoder) for row, why in commit["failed"].items()}

    def slabs(self, encoder: str) -> Iterator[Slab]:
        """Reads all rows of an encoder in order, piece by piece, each block checked against its commit.

        Raises:
            StoreError: A block is not committed, was written by another encoder, or does not match its checksum;
                or the rows that are not finite are not the rows recorded as failed.
        """
        if pending := self.pending(encoder):
            raise StoreError(f"{encoder}: {len(pending)} of {self.plan.blocks(encoder)} blocks are not committed")
        yield from read_slabs(self.root, self.plan, encoder, self.commits(encoder))

    def load(self, encoder: str) -> Features:
        """Reads all rows of an encoder at once.

        Raises:
            StoreError: As `slabs`.
        """
        rows = self.plan.rows(encoder)
        spec = self.plan.encoders[encoder]
        loaded = Features(allocate(encoder, (rows, spec.block.dim), spec.dtype), np.empty(rows, bool))
        for low, piece in self.slabs(encoder):
            for whole, part in zip(loaded, piece, strict=True):
                whole[low : low + len(part)] = part
        return loaded

    def digest(self) -> dict[str, Any]:
        """Verifies tables and rows and says what is there: rows, failed rows and sha256 of each encoder.

        Raises:
            StoreError: As `load`, or the tables are not those that were planned.
        """
        tables = table_specs(self.clips(), self.prompts(), self.pair_records(), self.pair_arrays())
        if lines := difference(tables, dict(self.plan.tables), "tables"):
            raise StoreError(f"{self.location}: holds other tables than were planned: {'; '.join(lines)}")
        return {"encoders": {name: self._digest(name) for name in sorted(self.plan.encoders)}}

    def verify(self) -> dict[str, Any]:
        """Reads everything again and compares it with the seal and the plan; returns the seal.

        Raises:
            StoreError: Not sealed, damaged, or changed since it was sealed.
        """
        seal = kv.read_json(self.root, "SEALED.json", MAX_COMMIT_BYTES)
        if seal is None:
            raise StoreError(f"{self.location}: not sealed")
        if lines := difference(self.digest(), seal):
            raise StoreError(f"{self.location}: changed since it was sealed: {'; '.join(lines)}")
        return seal

    def _parquet(self, name: str) -> bytes:
        key = f"tables/{name}-00000.parquet"
        data = kv.read_bytes(self.root, key, MAX_PARQUET_BYTES)
        if data is None:
            raise StoreError(f"{self.location}: {key} is missing")
        return data

    def _committed(self, encoder: str) -> list[int]:
        names = [key.rsplit("/", 1)[1] for key in kv.list_keys(self.root, f"commits/{encoder}/")]
        blocks = [int(name[:8]) for name in names if COMMIT_NAME.fullmatch(name)]
        return [block for block in blocks if block < self.plan.blocks(encoder)]

    def _digest(self, encoder: str) -> dict[str, Any]:
        sha256, failed = hashlib.sha256(), []
        for low, (values, ok) in self.slabs(encoder):  # never all at once: a store may be larger than any memory
            sha256.update(values.tobytes())
            failed += (np.flatnonzero(~ok) + low).tolist()
        return {"rows": self.plan.rows(encoder), "failed_rows": failed, "sha256": sha256.hexdigest()}


def _check_failed(key: str, failed: Any, rows: range) -> None:
    if not isinstance(failed, dict) or not all(row.isdecimal() and int(row) in rows for row in failed):
        raise StoreError(f"{key}: failed is not about rows {rows.start} to {rows.stop - 1}")
