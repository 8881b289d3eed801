"""Scored battles: two systems answered one prompt, a listener chose, a head scored both clips."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int, Shaped
from pyarrow import csv

__all__ = ["Battles", "Columns", "read_battles"]

MAX_CSV_BYTES = 4 << 30
SHOWN = 3
WINNERS = ("A", "B")


@dataclass(frozen=True)
class Columns:
    """Names of the columns; the defaults are those of the published post-cutoff battles."""

    id: str = "battle_id"
    preference: str = "preference"
    system_a: str = "system_a"
    system_b: str = "system_b"
    score_a: str = "tj_a"
    score_b: str = "tj_b"


class Battles(NamedTuple):
    """Decided battles.

    Attributes:
        ids: Each once.
        systems: Names, sorted; the codes point into them.
        system_a: Code of the system that made clip a.
        system_b: Code of the system that made clip b.
        margin: s(a) - s(b), in reward units.
        a_won: Whether the listener chose a.
    """

    ids: tuple[str, ...]
    systems: tuple[str, ...]
    system_a: Int[np.ndarray, " battles"]
    system_b: Int[np.ndarray, " battles"]
    margin: Float64[np.ndarray, " battles"]
    a_won: Bool[np.ndarray, " battles"]

    def take(self, rows: Int[np.ndarray, " taken"] | Sequence[int]) -> "Battles":
        """Some of the battles, in the given order; the systems keep their codes."""
        rows = np.asarray(rows, int)
        ids = tuple(self.ids[row] for row in rows)
        a, b, margin, a_won = self.system_a[rows], self.system_b[rows], self.margin[rows], self.a_won[rows]
        return Battles(ids, self.systems, a, b, margin, a_won)


def read_battles(path: Path, columns: Columns | None = None) -> Battles:
    """Reads a table of scored battles.

    Args:
        path: CSV with a header and the six columns; others are passed over.
        columns: Their names.

    Raises:
        ValueError: A column is missing or named twice, a field is empty, a preference is neither A nor B, a score is
            no finite number, or an id occurs twice; names the rows, counted from 1 below the header.
    """
    columns = columns or Columns()
    texts = _read_csv(path, columns)
    preference = texts[columns.preference]
    _refuse(path, columns.preference, preference, ~np.isin(preference, WINNERS), "A or B")
    score_a, score_b = (_scores(path, name, texts[name]) for name in (columns.score_a, columns.score_b))
    sides = (texts[columns.system_a], texts[columns.system_b])
    systems = tuple(sorted({*sides[0], *sides[1]}))
    codes = {system: code for code, system in enumerate(systems)}
    code_a, code_b = (np.array([codes[system] for system in side], int) for side in sides)
    ids = tuple(texts[columns.id])
    _refuse_twice(path, columns.id, ids)
    return Battles(ids, systems, code_a, code_b, score_a - score_b, preference == "A")


Texts = Shaped[np.ndarray, " battles"]


def _read_csv(path: Path, columns: Columns) -> dict[str, Texts]:
    names = [getattr(columns, field.name) for field in fields(columns)]
    if len(set(names)) != len(names):
        raise ValueError(f"columns: each must have a name of its own, got {names}")
    if path.stat().st_size > MAX_CSV_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes, accepted are at most {MAX_CSV_BYTES}")
    as_text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    try:
        table = csv.read_csv(path, convert_options=as_text)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a table of comma-separated values: {error}") from error
    if missing := [name for name in names if name not in table.column_names]:
        raise ValueError(f"{path}: has no columns {missing}, it has {table.column_names}; name them by flag")
    texts = {name: np.asarray(table[name], object) for name in names}
    for name, values in texts.items():
        _refuse(path, name, values, values == "", "a value")
    return texts


def _scores(path: Path, name: str, texts: Texts) -> Float64[np.ndarray, " battles"]:
    try:
        values = texts.astype(np.float64)
    except ValueError as error:
        raise ValueError(f"{path}: column {name}: expected finite numbers: {error}") from error
    _refuse(path, name, texts, ~np.isfinite(values), "finite numbers")
    return values


def _refuse(path: Path, name: str, texts: Texts, bad: Bool[np.ndarray, " battles"], accepted: str) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        shown = ", ".join(f"row {row + 1}: {texts[row]!r}" for row in rows[:SHOWN])
        raise ValueError(f"{path}: column {name}: {len(rows)} rows are not {accepted}: {shown}")


def _refuse_twice(path: Path, name: str, ids: Sequence[str]) -> None:
    if len(set(ids)) == len(ids):
        return
    first: dict[str, int] = {}
    for row, key in enumerate(ids, start=1):
        if key in first:
            raise ValueError(f"{path}: column {name}: {key!r} stands in rows {first[key]} and {row}, expected once")
        first[key] = row
