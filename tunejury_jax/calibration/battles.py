"""Scored battles: two systems answered one prompt, a listener chose, a head scored both clips."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

from tunejury_jax.calibration.columns import Columns
from tunejury_jax.csv_columns import codes, numbers, read_columns, refuse, refuse_repeats

__all__ = ["Battles", "read_battles"]

WINNERS = ("A", "B")


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
    table = read_columns(path, list(vars(columns).values()))
    refuse_repeats(path, columns.id, table[columns.id])
    winners, (winner,) = codes(table[columns.preference])
    decided = np.isin(winners, WINNERS)
    refuse(path, columns.preference, table[columns.preference], ~decided[winner], "A or B")
    score_a, score_b = (numbers(path, name, table[name]) for name in (columns.score_a, columns.score_b))
    systems, (code_a, code_b) = codes(table[columns.system_a], table[columns.system_b])
    a_won = np.array(winners)[winner] == "A" if len(winner) else np.zeros(0, bool)
    return Battles(tuple(table[columns.id].to_pylist()), systems, code_a, code_b, score_a - score_b, a_won)
