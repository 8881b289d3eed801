"""Tables of released scores: CSV with a `track_id` and a `reward_score` a row, and further columns of any kind.

A table that was made here has a record beside it, `TABLE.csv.json`, of the head that scored it.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunejury_jax.documents import read_object

__all__ = ["ID", "SCORE", "Rows", "read_record", "read_rows", "read_scores", "record_path"]

ID, SCORE = "track_id", "reward_score"
MAX_CSV_BYTES = 256 << 20
MAX_RECORD_BYTES = 64 << 20


@dataclass(frozen=True)
class Rows:
    """A table of tracks.

    Attributes:
        columns: Its header.
        by_id: Track id -> the row's text by column, in the file's order.
    """

    columns: tuple[str, ...]
    by_id: dict[str, dict[str, str]]


def read_rows(path: Path, needs: Sequence[str] = (ID,)) -> Rows:
    """Reads a table of tracks.

    Args:
        path: CSV with a header.
        needs: Columns that it must have; others are kept as they are.

    Raises:
        ValueError: Too large, no such table, a column is missing, or an id is empty or occurs twice; names the line.
    """
    if (size := path.stat().st_size) > MAX_CSV_BYTES:
        raise ValueError(f"{path}: {size} bytes, accepted are at most {MAX_CSV_BYTES}")
    by_id: dict[str, dict[str, str]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _records(path, file)
        columns = next(lines, (0, []))[1]
        if missing := [name for name in needs if columns.count(name) != 1]:
            raise ValueError(f"{path}: needs the columns {missing} once each, it has {columns}")
        for line, values in lines:
            if len(values) != len(columns):
                raise ValueError(f"{path}: line {line}: has {len(values)} values, expected {len(columns)}")
            row = dict(zip(columns, values, strict=True))
            if not row[ID] or row[ID] in by_id:
                raise ValueError(f"{path}: line {line}: {ID} is {row[ID]!r}, expected one that occurs once")
            by_id[row[ID]] = row
    return Rows(tuple(columns), by_id)


def read_scores(path: Path) -> dict[str, float]:
    """Reads a table of released scores as track id -> reward.

    Raises:
        ValueError: As `read_rows`, there are no rows, or a reward is no finite number; names the track.
    """
    scores = {key: _reward(path, row) for key, row in read_rows(path, (ID, SCORE)).by_id.items()}
    if not scores:
        raise ValueError(f"{path}: has no rows, expected at least one")
    return scores


def record_path(table: Path) -> Path:
    """Where the record of how a table was made stands."""
    return table.with_name(f"{table.name}.json")


def read_record(table: Path) -> dict[str, Any]:
    """How a table was made, empty where nobody says, as of published tables."""
    path = record_path(table)
    return read_object(path, MAX_RECORD_BYTES) if path.is_file() else {}


def _records(path: Path, file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Line number and values of every record that is not empty."""
    reader = csv.reader(file, strict=True)
    try:
        for values in reader:
            if values:
                yield reader.line_num, values
    except (csv.Error, UnicodeDecodeError) as error:
        message = f"{path}: line {reader.line_num}: not a table of comma-separated values: {error}"
        raise ValueError(message) from error


def _reward(path: Path, row: dict[str, str]) -> float:
    try:
        reward = float(row[SCORE])
    except ValueError:
        reward = math.nan
    if not math.isfinite(reward):
        raise ValueError(f"{path}: {row[ID]}: {SCORE} is {row[SCORE]!r}, expected a finite number")
    return reward
