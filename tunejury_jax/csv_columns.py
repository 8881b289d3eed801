"""Columns of CSV files, checked where they enter: names, gaps, numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int
from pyarrow import csv

from tunejury_jax.errors import one_of

__all__ = ["codes", "numbers", "read_columns", "refuse", "refuse_repeats"]

MAX_CSV_BYTES = 4 << 30
SHOWN = 3


def read_columns(path: Path, names: Sequence[str]) -> pa.Table:
    """Reads some columns of a CSV file with a header, as text.

    Args:
        path: The file.
        names: The columns to read, each once; others are passed over.

    Raises:
        ValueError: The file is too large or no such table, a column is missing or asked for twice, or a field is
            empty; names the rows, counted from 1 below the header.
    """
    if len(set(names)) != len(names):
        raise ValueError(f"columns: each must have a name of its own, got {list(names)}")
    if (size := path.stat().st_size) > MAX_CSV_BYTES:
        raise ValueError(f"{path}: {size} bytes, accepted are at most {MAX_CSV_BYTES}")
    as_text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    try:
        table = csv.read_csv(path, convert_options=as_text)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a table of comma-separated values: {error}") from error
    for name in names:
        one_of(f"{path}: column", name, table.column_names)
        refuse(path, name, table[name], np.asarray(table[name], object) == "", "a value")
    return table.select(list(names))


def numbers(path: Path, name: str, texts: pa.ChunkedArray) -> Float64[np.ndarray, " rows"]:
    """The column as finite numbers.

    Raises:
        ValueError: A field is none.
    """
    try:
        values = np.asarray(texts.cast(pa.float64()))
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: column {name}: expected finite numbers: {error}") from error
    refuse(path, name, texts, ~np.isfinite(values), "finite numbers")
    return values


def codes(*columns: pa.ChunkedArray) -> tuple[tuple[str, ...], list[Int[np.ndarray, " rows"]]]:
    """The names that occur, sorted, and each column as places among them."""
    joined = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())
    encoded = joined.dictionary_encode().combine_chunks()
    values = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    names = np.array(values.dictionary.to_pylist(), object)
    order = np.argsort(names)
    places = np.empty(len(names), int)
    places[order] = np.arange(len(names))
    ends = np.cumsum([len(column) for column in columns])[:-1]
    return tuple(names[order]), np.split(places[np.asarray(values.indices)], ends)


def refuse(path: Path, name: str, values: pa.ChunkedArray, bad: Bool[np.ndarray, " rows"], accepted: str) -> None:
    """Raises a ValueError that quotes the first bad rows, if there are any."""
    rows = np.flatnonzero(bad)
    if len(rows):
        shown = ", ".join(f"row {row + 1}: {values[int(row)].as_py()!r}" for row in rows[:SHOWN])
        raise ValueError(f"{path}: column {name}: {len(rows)} rows are not {accepted}: {shown}")


def refuse_repeats(path: Path, name: str, texts: pa.ChunkedArray) -> None:
    """Raises a ValueError if a value stands in two rows."""
    counts = texts.value_counts()
    repeated = np.flatnonzero(np.asarray(counts.field("counts")) > 1)
    if len(repeated):
        value = counts.field("values")[int(repeated[0])].as_py()
        first, second = (np.flatnonzero(np.asarray(texts, object) == value)[:2] + 1).tolist()
        raise ValueError(f"{path}: column {name}: {value!r} stands in rows {first} and {second}, expected once")
