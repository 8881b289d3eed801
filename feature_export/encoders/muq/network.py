"""The two sides of a `MuLan`, from samples and from tokens to embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from feature_export.encoders.compute import Compute
from feature_export.encoders.muq.log_mel import LogMel
from feature_export.encoders.muq.mulan import AudioSide, TextSide

__all__ = ["AudioNetwork", "TextNetwork"]


@dataclass(frozen=True)
class AudioNetwork:
    """The spectrogram, then the audio side, both on the device of `compute`."""

    log_mel: LogMel
    side: AudioSide
    compute: Compute

    def __call__(self, windows: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch dim"]:
        """Embeddings of chunks of one length at 24 kHz; differentiable."""
        # In decibels before the network: bfloat16 would round them to steps of half a decibel.
        decibels = self.log_mel(windows.to(self.log_mel.basis))
        with self.compute.running():
            return self.side(decibels)


@dataclass(frozen=True)
class TextNetwork:
    """The text side."""

    side: TextSide
    compute: Compute

    def __call__(self, tokens: Sequence[int]) -> Float[Tensor, " dim"]:
        """The embedding of one prompt."""
        ids = torch.tensor([list(tokens)], device=self.compute.device)
        with self.compute.running():
            return self.side(ids)[0]
