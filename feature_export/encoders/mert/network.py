"""MERT's network: a `transformers.HubertModel`, which has the same formula and the same names of weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import HubertConfig, HubertModel

from feature_export.encoders.compute import Compute
from feature_export.encoders.mert.config import MertConfig
from feature_export.encoders.mert.pooling import TUNEJURY, MertPooling
from feature_export.encoders.state_file import load_strictly

__all__ = ["MertNetwork"]

_NOT_NEEDED = "masked_spec_embed"
"""Stands for frames that are hidden from the network while it is trained."""

_WEIGHT_NORM = "encoder.pos_conv_embed.conv"
_RENAMED = {
    f"{_WEIGHT_NORM}.weight_g": f"{_WEIGHT_NORM}.parametrizations.weight.original0",
    f"{_WEIGHT_NORM}.weight_v": f"{_WEIGHT_NORM}.parametrizations.weight.original1",
}
"""Length and direction of a kernel, by the names torch gave them when the weights were published."""


@dataclass(frozen=True)
class MertNetwork:
    """From samples to embeddings: hidden states, pooled over layers and time."""

    model: HubertModel
    compute: Compute
    pooling: MertPooling = TUNEJURY

    @classmethod
    def load(
        cls, config: MertConfig, state: Mapping[str, Tensor], compute: Compute, pooling: MertPooling = TUNEJURY
    ) -> "MertNetwork":
        """Builds the network and loads its weights; frozen, in evaluation mode.

        Raises:
            ValueError: Tensors are missing, left over or of another shape; says which. Or there is no such layer.
        """
        pooling.require(config.architecture["num_hidden_layers"])
        # Masking is for training; without it the model has no tensor for it.
        masking = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
        architecture: dict[str, Any] = {**config.architecture, **masking, "attn_implementation": "sdpa"}
        # The random weights that a new model gets are replaced at once, and must not move the caller's generator.
        with torch.random.fork_rng(devices=()):
            model = HubertModel(HubertConfig(**architecture))
        load_strictly(model, {_RENAMED.get(k, k): v for k, v in state.items() if k != _NOT_NEEDED}, "mert")
        model.eval().requires_grad_(False).to(compute.device)  # pyright: ignore[reportArgumentType]
        return cls(model, compute, pooling)

    def __call__(self, samples: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch dim"]:
        """Embeddings of samples at 24 kHz, in their dtype; differentiable.

        Rows have one length: padding changes the embedding even under a mask, since the normalisation of the first
        convolution runs over time.
        """
        with self.compute.running():
            frames = self._frames(samples.to(self.model.device, self.model.dtype))
        return self.pooling.of_frames(frames.to(samples.dtype))

    def _frames(self, samples: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch time dim"]:
        made = self.model(samples, output_hidden_states=self.pooling.every_state)
        if not self.pooling.every_state:
            return made.last_hidden_state
        # Never hidden_states[-1], which from transformers 5.16 on lacks the last normalisation.
        return self.pooling.of_layers((*made.hidden_states[:-1], made.last_hidden_state))
