"""Votes: two systems answered one prompt, a head scored both clips, a listener chose one, both or neither."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int

from tunejury_jax.calibration.columns import Columns
from tunejury_jax.csv_columns import codes, numbers, read_columns, refuse, refuse_repeats

__all__ = ["POINTS", "Votes", "read_votes"]

POINTS = {"A": 1.0, "B": 0.0, "TIE": 0.5, "BOTH_BAD": np.nan}
"""Of a; votes for neither are left out."""


class Votes(NamedTuple):
    """Votes that say which system is better, or that none is.

    Attributes:
        systems: Names, sorted; the codes point into them.
        a: Code of the system that made clip a.
        b: Code of the system that made clip b.
        points: Of a: 1 where it was preferred, 0.5 for a tie, 0 where b was.
        score_a: The head's score of clip a.
        score_b: The head's score of clip b.
        both_bad: How many votes for neither were left out.
    """

    systems: tuple[str, ...]
    a: Int[np.ndarray, " votes"]
    b: Int[np.ndarray, " votes"]
    points: Float64[np.ndarray, " votes"]
    score_a: Float64[np.ndarray, " votes"]
    score_b: Float64[np.ndarray, " votes"]
    both_bad: int = 0

    def take(self, rows: Int[np.ndarray, " taken"]) -> "Votes":
        """Some of the votes, in the given order; the systems keep their codes."""
        a, b, points, score_a, score_b = (values[rows] for values in self[1:-1])
        return Votes(self.systems, a, b, points, score_a, score_b, self.both_bad)


def read_votes(path: Path, columns: Columns | None = None) -> Votes:
    """Reads a CSV table of votes.

    Args:
        path: With a header and the six columns; others are passed over.
        columns: Their names.

    Raises:
        ValueError: As `read_columns` and `numbers`, an id occurs twice, or a preference is none of A, B, TIE and
            BOTH_BAD.
    """
    columns = columns or Columns()
    table = read_columns(path, list(vars(columns).values()))
    refuse_repeats(path, columns.id, table[columns.id])
    score_a, score_b = (numbers(path, name, table[name]) for name in (columns.score_a, columns.score_b))
    points = _points(path, columns.preference, table[columns.preference])
    kept = ~np.isnan(points)
    systems, (a, b) = codes(*(table[name].filter(pa.array(kept)) for name in (columns.system_a, columns.system_b)))
    return Votes(systems, a, b, points[kept], score_a[kept], score_b[kept], int((~kept).sum()))


def _points(path: Path, name: str, preference: pa.ChunkedArray) -> Float64[np.ndarray, " votes"]:
    """The points of a; not a number for votes to leave out."""
    labels, (places,) = codes(preference)
    unknown = np.array([label not in POINTS for label in labels], bool)[places]
    refuse(path, name, preference, unknown, f"one of {', '.join(POINTS)}")
    return np.array([POINTS[label] for label in labels], np.float64)[places]
