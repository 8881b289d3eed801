"""Which of MERT's hidden states an embedding is made of, and how they become one row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from feature_export.encoders.windowed import weighted_mean

__all__ = ["TUNEJURY", "MertPooling"]

LAST = -1
_OVER_CHUNKS = {"mean": "weighted by length", "maximum": "the largest of each"}


@dataclass(frozen=True)
class MertPooling:
    """How an embedding is pooled.

    Attributes:
        layer: 0 is the input of the first layer, k the output of the k-th; `LAST` of the last; None for the mean over
            all of these, of which MERT-v1-330M has 25.
        over_time: `mean`, or the `maximum` of each number.

    Raises:
        ValueError: No such layer can be.
    """

    layer: int | None = LAST
    over_time: Literal["mean", "maximum"] = "mean"

    def __post_init__(self) -> None:
        if self.layer is not None and self.layer < LAST:
            raise ValueError(f"layer: got {self.layer}, accepted are {LAST} for the last one, numbers from 0, and None")

    @property
    def every_state(self) -> bool:
        """Whether more is needed than the output of the last layer."""
        return self.layer != LAST

    def require(self, layers: int) -> None:
        """Raises a ValueError if a network of so many layers does not have the one that is asked for."""
        if self.layer is not None and self.layer > layers:
            raise ValueError(f"layer: got {self.layer}, accepted are numbers to {layers}, the layers of these weights")

    def describe(self, chunk: int) -> str:
        """The pooling of chunks of so many samples, for a provenance."""
        of_layers = {LAST: "last layer", None: "mean layer"}.get(self.layer, f"layer {self.layer}")
        return f"{of_layers}'s {self.over_time} over time, of chunks of {chunk} samples {_OVER_CHUNKS[self.over_time]}"

    def of_layers(self, states: Sequence[Float[Tensor, "batch time dim"]]) -> Float[Tensor, "batch time dim"]:
        """One state of each frame, from those before the first and behind every layer."""
        return torch.stack(list(states)).mean(0) if self.layer is None else states[self.layer]

    def of_frames(self, frames: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch dim"]:
        """The embeddings of chunks."""
        return frames.mean(1) if self.over_time == "mean" else frames.amax(1)

    def of_chunks(self, embedded: Float[Tensor, "chunks dim"], lengths: Sequence[int]) -> Float[Tensor, " dim"]:
        """The embedding of a clip from those of its chunks and their lengths in samples."""
        return weighted_mean(embedded, lengths) if self.over_time == "mean" else embedded.amax(0)


TUNEJURY = MertPooling()
"""Of the features that heads are trained on."""
