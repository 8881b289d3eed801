"""Scoring features: joined blocks to rewards, in batches of one size."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.head import Head
from tunejury_jax.prediction import Prediction, mean_and_std

__all__ = ["FeatureScorer", "require_conservative"]

BATCH_ROWS = 256


class FeatureScorer:
    """Scores features with a checkpoint.

    reward = mean - conservative * std, over the members of an ensemble
    """

    def __init__(self, checkpoint: Checkpoint, conservative: float = 0.0) -> None:
        """Prepares a checkpoint for scoring.

        Args:
            checkpoint: A head or an ensemble.
            conservative: Standard deviations over the members of an ensemble to take off its mean, at least 0.

        Raises:
            ValueError: `conservative` is not usable with this checkpoint.
        """
        require_conservative(conservative, checkpoint.members)
        self.checkpoint, self.conservative = checkpoint, conservative
        self._predict = _compiled(checkpoint)

    def score_features(self, x: Float[np.ndarray, "batch dim"]) -> Float[np.ndarray, " batch"]:
        """The rewards of joined features, one a row; see `predict_features` for what it takes and refuses."""
        return self._reward(self.predict_features(x))

    def predict_features(self, x: Float[np.ndarray, "batch dim"]) -> Prediction:
        """Scores joined features.

        Args:
            x: One row a clip, in the order of `checkpoint.layout`.

        Returns:
            Mean and population standard deviation over the members, one of each a row; the mean is unbounded, the
            standard deviation of a single head is 0. A row's scores do not depend on the rows beside it beyond
            rounding (relative 1e-5).

        Raises:
            ValueError: Another number of columns, or a value that is not finite.
        """
        layout = self.checkpoint.layout
        if x.ndim != 2 or x.shape[1] != layout.dim:
            raise ValueError(f"x: got shape {x.shape}, expected (batch, {layout.dim}) for blocks {list(layout.names)}")
        # Whole batches of one size: one compilation, whatever the number of rows.
        padded = np.zeros((-(-len(x) // BATCH_ROWS) * BATCH_ROWS, layout.dim), np.float32)
        with np.errstate(over="ignore"):  # what does not fit float32 is refused below
            padded[: len(x)] = x
        if not np.isfinite(padded).all():
            raise ValueError(f"x: row {np.flatnonzero(~np.isfinite(padded).all(axis=1))[0]} is not finite as float32")
        batches = padded.reshape(-1, BATCH_ROWS, layout.dim)
        parts = [self._predict(jnp.asarray(batch)) for batch in batches] or [(padded[:, 0], padded[:, 0])]
        return Prediction(*(np.concatenate(values)[: len(x)] for values in zip(*parts, strict=True)))

    def _reward(self, predicted: Prediction) -> Float[np.ndarray, " batch"]:
        return predicted.mean - self.conservative * predicted.std


def require_conservative(conservative: float, members: int) -> None:
    """Refuses a number of standard deviations that cannot be taken off the mean of so many members."""
    if not (math.isfinite(conservative) and conservative >= 0):
        raise ValueError(f"conservative: got {conservative}, accepted are finite numbers from 0")
    if conservative > 0 and members == 1:
        raise ValueError(
            f"conservative: got {conservative}, but the checkpoint has one member and so no standard deviation; "
            "accepted is 0, or an ensemble"
        )


def _compiled(
    checkpoint: Checkpoint,
) -> Callable[[Float[Array, "batch dim"]], tuple[Float[Array, " batch"], Float[Array, " batch"]]]:
    """One program for all members. A single head's weights are built into it; those of an ensemble are arguments,
    since XLA would spend seconds on folding so many constants."""
    if checkpoint.members == 1:
        score = jax.jit(checkpoint.score)
        return lambda x: (score(x), jnp.zeros(len(x)))
    return partial(jax.jit(mean_and_std, static_argnums=0), Head(checkpoint.head.widths), checkpoint.stacked)
