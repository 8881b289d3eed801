"""Scoring: features to rewards, and audio to rewards through an encoder stack.

The scorer is JAX and NumPy. Turning audio into features needs the PyTorch stage, so the stack is handed in, or
loaded on the first audio that is scored; features can be scored with no torch installed.
"""

import importlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Num

from tunejury_jax.checkpoint import Checkpoint

__all__ = ["EncoderStack", "Scorer", "accepted_audio"]

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
    """Scores clips with a checkpoint; the same file always gets the same score."""

    def __init__(self, checkpoint: Checkpoint, stack: EncoderStack | None = None) -> None:
        self.checkpoint = checkpoint
        self._score = jax.jit(checkpoint.score)
        if stack is not None:
            self.stack = self._checked(stack)

    @classmethod
    def from_checkpoint(cls, folder: Path | str, stack: EncoderStack | None = None) -> "Scorer":
        """Loads a checkpoint folder; the encoders it names are loaded when audio is first scored."""
        return cls(Checkpoint.load(Path(folder)), stack)

    @cached_property
    def stack(self) -> EncoderStack:
        """The encoders of the checkpoint."""
        return self._checked(_export_stage("encoders").stack_from_provenance(self.checkpoint.encoders))

    def score_features(self, x: Float[np.ndarray, "batch dim"]) -> Float[np.ndarray, " batch"]:
        """Scores joined features.

        Args:
            x: One row a clip, in the order of `checkpoint.layout`.

        Returns:
            One reward a row, unbounded; a row's reward does not depend on the rows beside it beyond rounding
            (relative 1e-5).

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
        return np.concatenate([np.asarray(self._score(jnp.asarray(b))) for b in batches] or [padded[:, 0]])[: len(x)]

    def score(self, audio: Audio, sample_rate_hz: int | None = None, prompt: str = "") -> float:
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
        return float(self.score_features(self.checkpoint.layout.join(rows))[0])

    def _checked(self, stack: EncoderStack) -> EncoderStack:
        self.checkpoint.require_encoders(stack.provenance(), "encoder stack")
        return stack


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
