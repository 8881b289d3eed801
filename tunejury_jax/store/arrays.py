"""The TensorStore arrays of a store: zarr3, one chunk a block, NaN where nothing was written.

Every structural property is asked for as a hard constraint when an array is opened, so metadata that was edited
(a chunk of 2^40 rows, a shrunk shape) is refused before a byte is allocated. Missing chunks are errors, chunks
equal to the fill value are stored all the same, and each chunk carries its own crc32c (store.md section 1).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorstore as ts

from tunejury_jax.errors import one_of
from tunejury_jax.store.kv import DATA_TIMEOUT_S, StoreError, context, finished, read_bytes
from tunejury_jax.store.plan import Plan

__all__ = ["ArraySpec", "allocate", "create_array", "feature_array", "open_array", "pair_arrays", "read_array"]

MAX_METADATA_BYTES = 1 << 20
PAIR_CHUNK_ROWS = 1 << 16
PAIR_CODES = ("label", "source", "split")
LITTLE_ENDIAN_WITH_CHECKSUM = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


@dataclass(frozen=True)
class ArraySpec:
    """Where an array lies in its store and everything about it that must hold."""

    prefix: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: str
    labels: tuple[str, ...]
    fill: float | int

    def spec(self, root: ts.KvStore) -> dict[str, Any]:
        return {
            "driver": "zarr3",
            "kvstore": (root / self.prefix).spec().to_json(),
            "store_data_equal_to_fill_value": True,
            "fill_missing_data_reads": False,
        }

    def metadata(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "data_type": self.dtype,
            "fill_value": "NaN" if isinstance(self.fill, float) else self.fill,
            "dimension_names": self.labels,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": self.chunk}},
            "codecs": LITTLE_ENDIAN_WITH_CHECKSUM,
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        }


def feature_array(plan: Plan, encoder: str) -> ArraySpec:
    """The array of one encoder: whole blocks of rows, one chunk each."""
    spec = plan.encoders[one_of("encoder", encoder, tuple(plan.encoders))]
    shape, chunk = (plan.capacity(encoder), spec.block.dim), (plan.block_rows, spec.block.dim)
    return ArraySpec(f"features/{encoder}/", shape, chunk, spec.dtype, (spec.block.table, "embed"), float("nan"))


def pair_arrays(plan: Plan) -> tuple[ArraySpec, ...]:
    """The arrays of `PairArrays`, in its order."""
    rows = plan.tables["pair"].rows
    index = ArraySpec("pairs/index/", (rows, 3), (PAIR_CHUNK_ROWS, 3), "int32", ("pair", "column"), -2)
    codes = (ArraySpec(f"pairs/{c}/", (rows,), (PAIR_CHUNK_ROWS,), "uint8", ("pair",), 255) for c in PAIR_CODES)
    return (index, *codes)


def create_array(root: ts.KvStore, array: ArraySpec) -> ts.TensorStore:
    """Creates an array, or opens it where an interrupted planner left the same one behind."""
    spec = {**array.spec(root), "metadata": array.metadata()}
    return finished(ts.open(spec, create=True, open=True, context=context()), f"{array.prefix}: cannot be created")


def open_array(root: ts.KvStore, array: ArraySpec) -> ts.TensorStore:
    """Opens an array whose metadata is exactly what the plan says.

    Raises:
        StoreError: Missing, oversized, or different from the plan in any structural property.
    """
    key = f"{array.prefix}zarr.json"
    if read_bytes(root, key, MAX_METADATA_BYTES) is None:
        raise StoreError(f"{key}: missing")
    opening = ts.open(
        {**array.spec(root), "metadata": array.metadata()},
        open=True,
        context=context(),
        dtype=ts.dtype(np.dtype(array.dtype)),
        shape=array.shape,
        chunk_layout=ts.ChunkLayout(write_chunk_shape=array.chunk),
    )
    return finished(opening, f"{key}: differs from the plan")


def read_array(root: ts.KvStore, array: ArraySpec) -> np.ndarray:
    """Reads a whole array.

    Raises:
        StoreError: As `open_array`, or a chunk is missing or does not match its checksum, or memory does not suffice.
    """
    source, values = open_array(root, array), allocate(array.prefix, array.shape, array.dtype)
    finished(ts.array(values).write(source), f"{array.prefix}: cannot be read", DATA_TIMEOUT_S)
    return values


def allocate(what: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Memory to read into: without it TensorStore would abort the process.

    Raises:
        StoreError: There is not that much.
    """
    try:
        return np.empty(shape, dtype)
    except (ValueError, MemoryError) as error:
        raise StoreError(f"{what}: cannot be read: {error}") from error
