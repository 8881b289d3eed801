"""The two networks of a `ClapModel`, from samples and from tokens to embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import ClapModel

from feature_export.encoders.clap.log_mel import log_mel
from feature_export.encoders.compute import Compute

__all__ = ["AudioNetwork", "TextNetwork"]


@dataclass(frozen=True)
class AudioNetwork:
    """HTS-AT and its projection, which share a model with `TextNetwork`."""

    model: ClapModel
    compute: Compute

    def __call__(self, windows: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch dim"]:
        """Embeddings of windows of 10 s at 48 kHz; differentiable."""
        # In decibels before the network: bfloat16 would round them to steps of half a decibel.
        decibels = log_mel(windows.to(self.model.logit_scale_a))
        with self.compute.running():
            return self.model.audio_projection(self.model.audio_model(decibels).pooler_output)


@dataclass(frozen=True)
class TextNetwork:
    """RoBERTa and its projection."""

    model: ClapModel
    compute: Compute

    def __call__(self, tokens: Sequence[int]) -> Float[Tensor, " dim"]:
        """The embedding of one prompt. Alone it needs no padding, which LAION-CLAP adds and masks."""
        ids = torch.tensor([list(tokens)], device=self.model.logit_scale_t.device)
        with self.compute.running():
            return self.model.text_projection(self.model.text_model(ids).pooler_output)[0]
