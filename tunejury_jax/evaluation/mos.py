"""Scores of clips against ratings of the same clips: correlations and the accuracy over all pairs of clips."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from tunejury_jax.csv_columns import numbers, read_columns, refuse_repeats
from tunejury_jax.evaluation.correlations import COEFFICIENTS, count_pairs, pairwise_accuracy
from tunejury_jax.evaluation.estimates import estimate_rows

__all__ = ["RatedClips", "judge", "read_rated"]

TIES = "pairs of equal ratings are left out; equal scores under different ratings count 1/2"


class RatedClips(NamedTuple):
    """Scores and ratings, one of each a clip; each on any scale."""

    scores: Float64[np.ndarray, " clips"]
    ratings: Float64[np.ndarray, " clips"]


def read_rated(path: Path, clip: str = "clip", score: str = "score", rating: str = "rating") -> RatedClips:
    """Reads a CSV table of clips.

    Args:
        path: With a header and three columns; others are passed over.
        clip: Column of the clip's id, each once.
        score: Column of the head's score.
        rating: Column of the listeners' mean rating.

    Raises:
        ValueError: As `read_columns` and `numbers`, or an id occurs twice.
    """
    table = read_columns(path, [clip, score, rating])
    refuse_repeats(path, clip, table[clip])
    return RatedClips(numbers(path, score, table[score]), numbers(path, rating, table[rating]))


def judge(clips: RatedClips) -> dict[str, Any]:
    """The coefficients `srcc`, `lcc`, `ktau` and `pairwise_accuracy` with intervals over clips, and counts of pairs."""
    estimates = {name: estimate_rows(coefficient, *clips) for name, coefficient in COEFFICIENTS.items()}
    estimates["pairwise_accuracy"] = estimate_rows(pairwise_accuracy, *clips, constant_x=True)
    counts = count_pairs(clips.scores, clips.ratings)
    pairs = {
        "right": counts.concordant,
        "wrong": counts.discordant,
        "equal scores": counts.tied_x,
        "equal ratings": counts.tied_y + counts.tied_both,
    }
    document = {name: estimate.to_json() for name, estimate in estimates.items()}
    return document | {"pairs": pairs, "ties": TIES, "clips": len(clips.scores)}
