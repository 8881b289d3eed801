"""What is needed of a scorer to stand in a table beside ours."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float32
from torch import Tensor

__all__ = ["Clip", "RivalScorer"]

Clip = Float32[Tensor, " _"]
"""Mono, nominally in [-1, 1]."""


@runtime_checkable
class RivalScorer(Protocol):
    """Scores clips; more is better.

    Attributes:
        name: As it stands in tables.
        sample_rate_hz: Of the clips that it is given, in Hz.
        reads_prompts: Whether a prompt makes a difference.
    """

    name: str
    sample_rate_hz: int
    reads_prompts: bool

    def score_batch(self, clips: Sequence[Clip], prompts: Sequence[str]) -> list[float]:
        """A score a clip.

        Args:
            clips: At the scorer's rate, of any lengths.
            prompts: What they were made for, one each, empty for none.
        """
        ...
