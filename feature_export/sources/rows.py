"""Rows of a published table (csv, jsonl, parquet), each with the place that messages name."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from tunejury_jax.documents import parse_object
from tunejury_jax.errors import one_of
from tunejury_jax.pairs import MAX_LINE_BYTES, Pair, parse_pair

__all__ = ["Row", "find_tables", "missing_shards", "once", "read_rows"]

T = TypeVar("T")

MAX_TEXT_BYTES = 1 << 30
MAX_ROW_GROUP_BYTES = 8 << 30
MAX_BATCH_BYTES = 2 << 30
BATCH_ROWS = 16  # rows may hold whole clips
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.parquet")


class Row(NamedTuple):
    """One record: where it stands, and its fields."""

    where: str
    values: Mapping[str, Any]

    def get(self, field: str) -> Any:
        """The field's value; a ValueError where the record has no such field."""
        if field not in self.values:
            raise ValueError(f"{self.where}: {field}: missing, got only {sorted(map(str, self.values))}")
        return self.values[field]

    def refuse(self, field: str, expected: str) -> ValueError:
        """The error for a value that is not what was expected."""
        return ValueError(f"{self.where}: {field}: expected {expected}, got {self.values.get(field)!r:.200}")

    def text(self, field: str) -> str:
        """A string that is not blank."""
        value = self.get(field)
        if not isinstance(value, str) or not value.strip():
            raise self.refuse(field, "a non-empty string")
        return value

    def code(self, field: str, codes: Mapping[str, T]) -> T:
        """What a published code stands for."""
        return codes[one_of(f"{self.where}: {field}", self.get(field), tuple(codes))]

    def pair(self, **fields: Any) -> Pair:
        """A checked pair of these fields; its errors say where the record stands."""
        try:
            return parse_pair(fields)
        except ValueError as error:
            raise ValueError(f"{self.where}: {error}") from error


def once(seen: dict[str, str], field: str, value: str, where: str) -> None:
    """Notes a value that may occur once.

    Raises:
        ValueError: It was seen before; says where.
    """
    if value in seen:
        raise ValueError(f"{where}: {field}: {value!r} occurs twice, first in {seen[value]}")
    seen[value] = where


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a csv, jsonl or parquet file, in order.

    Raises:
        ValueError: Another type, too large, damaged, or without a row.
    """
    read = _READERS[one_of(f"{path}: type", path.suffix.lower(), tuple(_READERS))]
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    number = 0
    try:
        for number, values in enumerate(read(path), start=1):
            yield Row(f"{path}, row {number}", values)
    except (ValueError, OSError, csv.Error, pa.ArrowException) as error:
        raise ValueError(f"{path}, after row {number}: {error}") from error
    if number == 0:
        raise ValueError(f"{path}: holds no rows")


def find_tables(data: Path) -> list[Path]:
    """The files of a table: `data` itself, or all csv, jsonl or parquet files of the folder.

    Raises:
        ValueError: None, several types, or a part of a table in parts is missing, which would shift the row numbers.
    """
    if data.is_file():
        return [data]
    found = {suffix: files for suffix in _READERS if (files := sorted(data.rglob(f"*{suffix}")))}
    if len(found) != 1:
        types = ", ".join(found) or "none"
        raise ValueError(f"data: {data}: expected tables of one type of {', '.join(_READERS)}, got {types}")
    (files,) = found.values()
    if missing := missing_shards(files):
        raise ValueError(f"data: {data}: {missing} of the parts that the file names count are missing")
    return files


def missing_shards(files: list[Path]) -> int:
    """How many parts are missing of tables stored as `name-00000-of-00012.parquet` and so on."""
    parts = [(path.parent, match) for path in files if (match := _SHARD.fullmatch(path.name))]
    tables = Counter((folder, match[1], int(match[3])) for folder, match in parts)
    return sum(max(table[2] - present, 0) for table, present in tables.items())


def _csv(path: Path) -> Iterator[Mapping[str, Any]]:
    _check_size(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        header = reader.fieldnames or ()
        if twice := [name for name, count in Counter(header).items() if count > 1]:
            raise ValueError(f"header: columns {twice} occur twice")
        for record in reader:
            if None in record or None in record.values():
                raise ValueError(f"expected {len(header)} cells as in the header, got another number")
            yield record


def _jsonl(path: Path) -> Iterator[Mapping[str, Any]]:
    _check_size(path)
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield parse_object(line, "record", MAX_LINE_BYTES)


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)]
        for batch in file.iter_batches(_batch_rows(max(sizes, default=0))):
            for values in batch.to_pylist():
                _check_texts(values)
                yield values


def _batch_rows(group_bytes: int) -> int:
    """Rows to decode at a time: a few bytes can stand for a large value in each row, up to the whole group's size."""
    if group_bytes > MAX_ROW_GROUP_BYTES:
        raise ValueError(f"row group: {group_bytes} bytes, accepted are at most {MAX_ROW_GROUP_BYTES}")
    return min(max(MAX_BATCH_BYTES // max(group_bytes, 1), 1), BATCH_ROWS)


def _check_texts(values: Mapping[str, Any]) -> None:
    """Parquet has no lines, so a text may be no longer than a line of other files."""
    for field, value in values.items():
        if isinstance(value, str) and len(value) > MAX_LINE_BYTES:
            raise ValueError(f"{field}: {len(value)} characters, accepted are at most {MAX_LINE_BYTES}")


def _check_size(path: Path) -> None:
    if (size := path.stat().st_size) > MAX_TEXT_BYTES:
        raise ValueError(f"{size} bytes, accepted are at most {MAX_TEXT_BYTES}")


_READERS = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
