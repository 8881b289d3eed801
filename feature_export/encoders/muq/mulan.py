r"""MuQ-MuLan: an audio side and a text side that end on one sphere.

Each is a pretrained network, a linear layer to the width of MuLan's blocks, the blocks, the mean over all steps, a
linear layer to the joint space, and a division by the length.

Source: Zhu et al., MuQ (arXiv:2501.01108), and `muq_mulan/models` of the `muq` package.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import XLMRobertaModel

from feature_export.encoders.muq.blocks import Blocks
from feature_export.encoders.muq.config import BlockSizes, MuqConfig
from feature_export.encoders.muq.conformer import Convolutions, conformer

__all__ = ["AudioSide", "MuLan", "TextSide"]


class MuLan(nn.Module):
    """Both sides, with random weights."""

    def __init__(self, config: MuqConfig) -> None:
        super().__init__()
        self.audio = AudioSide(config)
        self.text = TextSide(config)


class AudioSide(nn.Module):
    """From the spectrograms of chunks to their embeddings."""

    def __init__(self, config: MuqConfig) -> None:
        super().__init__()
        width = config.conformer.hidden_size
        self.convolutions = Convolutions(config.channels, width)
        self.conformer = conformer(config)
        self.top = _Top(nn.Linear(width, config.audio.dim), config.audio, config.latent_dim)

    def forward(self, log_mel: Float[Tensor, "batch bands frames"]) -> Float[Tensor, "batch dim"]:
        # The conformer draws a number a layer, which would move the caller's generator, and does not use it.
        with torch.random.fork_rng(devices=()):
            heard = self.conformer(self.convolutions(log_mel)).last_hidden_state
        return self.top(heard)


class TextSide(nn.Module):
    """From the tokens of texts of one length to their embeddings."""

    def __init__(self, config: MuqConfig) -> None:
        super().__init__()
        width, dim = config.roberta.hidden_size, config.text.dim
        self.roberta = XLMRobertaModel(config.roberta, add_pooling_layer=False)
        projection = nn.Identity() if width == dim else nn.Linear(width, dim)
        self.top = _Top(projection, config.text, config.latent_dim)

    def forward(self, tokens: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch dim"]:
        return self.top(self.roberta(tokens).last_hidden_state)


class _Top(nn.Module):
    """What MuLan adds to a pretrained network."""

    def __init__(self, projection: nn.Module, sizes: BlockSizes, latent_dim: int) -> None:
        super().__init__()
        self.projection = projection
        self.blocks = Blocks(sizes)
        self.to_latents = nn.Linear(sizes.dim, latent_dim)

    def forward(self, steps: Float[Tensor, "batch steps width"]) -> Float[Tensor, "batch dim"]:
        latents = self.to_latents(self.blocks(self.projection(steps)).mean(1))
        # Under autocast the sum is short of precision that a length should have.
        return F.normalize(latents.to(self.to_latents.weight.dtype), dim=-1)
