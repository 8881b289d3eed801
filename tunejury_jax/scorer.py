"""Scoring: features to rewards, and audio to rewards through an encoder stack.

The scorer is JAX and NumPy. Turning audio into features needs the PyTorch stage, so the stack is handed in, or
loaded on the first audio that is scored; features can be scored with no torch installed.
"""

import importlib
import math
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.head import Head
from tunejury_jax.prediction import ClipPrediction, Prediction, mean_and_std

__all__ = ["EncoderStack", "Scorer", "accepted_audio", "require_conservative"]

BATCH_ROWS = 256

Audio = Path | str | Num[np.ndarray, "*channels samples"]


@runtime_checkable
class EncoderStack(Protocol):
    """What the scorer needs of the encoders."""

    def provenance(self) -> Mapping[str, Mapping[str, Any]]:
        """Block name -> everything that makes its numbers."""
        ...

    def embed(self, audio: Any, sample_rate_hz: int | None, prompt: str) -> Mapping[str, Float[np.ndarray, " _"]]:
        """Block name -> embedding of one clip and its prompt."""
        ...


class Scorer:
    """Scores clips with a checkpoint; the same file always gets the same score.

    reward = mean - conservative * std, over the members of an ensemble
    """

    def __init__(self, checkpoint: Checkpoint, stack: EncoderStack | None = None, conservative: float = 0.0) -> None:
        """Prepares a checkpoint for scoring.

        Args:
            checkpoint: A head or an ensemble.
            stack: Its encoders; without them they are made on the first audio that is scored.
            conservative: Standard deviations over the members of an ensemble to take off its mean, at least 0.

        Raises:
            ValueError: The stack's encoders are others, or `conservative` is not usable with this checkpoint.
        """
        require_conservative(conservative, checkpoint.members)
        self.checkpoint, self.conservative = checkpoint, conservative
        self._predict = _compiled(checkpoint)
        if stack is not None:
            self.stack = self._checked(stack)

    @classmethod
    def from_checkpoint(
        cls, folder: Path | str, stack: EncoderStack | None = None, conservative: float = 0.0
    ) -> "Scorer":
        """Loads a checkpoint folder; the encoders it names are loaded when audio is first scored."""
        return cls(Checkpoint.load(Path(folder)), stack, conservative)

    @cached_property
    def stack(self) -> EncoderStack:
        """The encoders of the checkpoint."""
        return self._checked(_export_stage("encoders").stack_from_provenance(self.checkpoint.encoders))

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

    def score(self, audio: Audio, sample_rate_hz: int | None = None, prompt: str = "") -> float:
        """The reward of one clip; see `predict` for what it takes and refuses."""
        return self.predict(audio, sample_rate_hz, prompt).reward

    def predict(self, audio: Audio, sample_rate_hz: int | None = None, prompt: str = "") -> ClipPrediction:
        """Scores one clip.

        Args:
            audio: A file, or samples in [-1, 1] as (samples,) or (channels, samples).
            sample_rate_hz: Needed for samples, refused for a file.
            prompt: What the clip was made for; empty for none.

        Raises:
            ValueError: The audio cannot be read or is not usable; says why.
        """
        blocks = self.stack.embed(audio, sample_rate_hz, prompt)
        rows = {name: value[None] for name, value in blocks.items()}
        predicted = self.predict_features(self.checkpoint.layout.join(rows))
        return ClipPrediction(*(float(values[0]) for values in (self._reward(predicted), *predicted)))

    def _reward(self, predicted: Prediction) -> Float[np.ndarray, " batch"]:
        return predicted.mean - self.conservative * predicted.std

    def _checked(self, stack: EncoderStack) -> EncoderStack:
        self.checkpoint.require_encoders(stack.provenance(), "encoder stack")
        return stack


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


def accepted_audio() -> tuple[str, ...]:
    """Suffixes of the audio files that can be scored."""
    return _export_stage("decode").ACCEPTED


def _export_stage(module: str) -> ModuleType:
    """The PyTorch stage, imported on first need: the core itself works without torch."""
    try:
        return importlib.import_module(f"feature_export.{module}")
    except ModuleNotFoundError as error:
        advice = "pip install 'tunejury-jax[export]'"
        raise ValueError(f"scoring audio needs the export extra, {error.name} is missing: {advice}") from error
