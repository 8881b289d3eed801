"""Scores of several scorers side by side, and how well each fits listeners' ratings."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunejury_jax.applications.rivals.scoring import Scored
from tunejury_jax.csv_columns import numbers, read_columns, refuse_repeats
from tunejury_jax.documents import write_whole
from tunejury_jax.evaluation.mos import RatedClips, judge
from tunejury_jax.score_files import AudioFile

__all__ = ["judge_columns", "read_ratings", "write_table"]

Columns = Mapping[str, Sequence[Scored]]
"""Name of the scorer -> what came of each clip."""


def write_table(path: Path, files: Sequence[AudioFile], columns: Columns) -> None:
    """Writes `clip, path, prompt` and a column a scorer as CSV; a score that failed is an empty field."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["clip", "path", "prompt", *columns])
    for file, *scored in zip(files, *columns.values(), strict=True):
        scores = ("" if found.score is None else found.score for found in scored)
        table.writerow([file.id, file.path, file.prompt, *scores])
    write_whole(path, text.getvalue())


def read_ratings(path: Path) -> dict[str, float]:
    """Reads the columns `clip`, an id, and `rating` of a CSV table.

    Raises:
        ValueError: As `read_columns` and `numbers`, or a clip occurs twice.
    """
    table = read_columns(path, ["clip", "rating"])
    refuse_repeats(path, "clip", table["clip"])
    return dict(zip(table["clip"].to_pylist(), numbers(path, "rating", table["rating"]).tolist(), strict=True))


def judge_columns(files: Sequence[AudioFile], columns: Columns, ratings: Mapping[str, float]) -> dict[str, Any]:
    """What `evaluation.mos.judge` says of each scorer, over the clips that have a rating and a score of every scorer.

    Raises:
        ValueError: There is no such clip.
    """
    rows = [
        ([found.score for found in scored], ratings[file.id])
        for file, *scored in zip(files, *columns.values(), strict=True)
        if file.id in ratings and all(found.score is not None for found in scored)
    ]
    if not rows:
        raise ValueError("ratings: no clip has a rating and a score of every scorer")
    rated = np.array([rating for _, rating in rows], np.float64)
    scores = np.array([scores for scores, _ in rows], np.float64).T
    return {name: judge(RatedClips(own, rated)) for name, own in zip(columns, scores, strict=True)}
