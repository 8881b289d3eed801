"""What the members of an ensemble say of a clip: their mean score and how far they disagree."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from tunejury_jax.head import Head, Variables, evaluate_head

__all__ = ["ClipPrediction", "Prediction", "Ranked", "WindowPrediction", "mean_and_std", "member_scores"]


class Prediction(NamedTuple):
    """Scores of a batch of clips.

    Attributes:
        mean: Mean over the members, one a clip; unbounded.
        std: Population standard deviation over the members, one a clip; 0 of a single head.
    """

    mean: Float[np.ndarray, " batch"]
    std: Float[np.ndarray, " batch"]


class ClipPrediction(NamedTuple):
    """Scores of one clip: `Prediction`, the reward that they come to, and what there is to know about it.

    Attributes:
        reward: mean - conservative * std; negative is normal.
        mean: Mean over the members.
        std: Population standard deviation over the members.
        percentile: Of the reward among released scores, 0 to 100; None where the scorer has no table of them.
        flags: Names of `tunejury_jax.flags.FLAGS`.
    """

    reward: float
    mean: float
    std: float
    percentile: float | None = None
    flags: tuple[str, ...] = ()


class WindowPrediction(NamedTuple):
    """Scores of a window of a clip, which begins and ends at these seconds."""

    start_s: float
    end_s: float
    prediction: ClipPrediction


class Ranked(NamedTuple):
    """A clip of some that were ranked: its place in what was given, and its scores."""

    index: int
    prediction: ClipPrediction


def member_scores(head: Head, members: Variables, x: Float[Array, "batch dim"]) -> Float[Array, "members batch"]:
    """Scores every row with every member; the arrays of `members` have a leading member axis."""
    return jax.vmap(lambda variables: evaluate_head(head, variables, x))(members)


def mean_and_std(
    head: Head, members: Variables, x: Float[Array, "batch dim"]
) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    """Mean and population standard deviation over the members of an ensemble.

    mean = sum_i s_i(x) / M, std = sqrt(sum_i (s_i(x) - mean)^2 / M)

    Args:
        head: Shape that the M members share.
        members: Their variables, with a leading member axis.
        x: Joined features.
    """
    scores = member_scores(head, members, x)
    return scores.mean(axis=0), scores.std(axis=0)
