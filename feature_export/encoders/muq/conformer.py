"""MuQ: convolutions that leave a quarter of the frames and of the bands, then a conformer of transformers.

The published model is trained to predict tokens of masked audio; what is heard here is a layer of its conformer.

Source: `muq/modules/conv.py` and `muq/models/muq_model.py` of the `muq` package.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
    Wav2Vec2ConformerEncoder,
    Wav2Vec2ConformerRotaryPositionalEmbedding,
)

from feature_export.encoders.muq.config import MuqConfig
from feature_export.encoders.muq.log_mel import BANDS

__all__ = ["Convolutions", "conformer"]


class Convolutions(nn.Module):
    """From a spectrogram to 25 steps a second.

    Args:
        channels: Of the convolutions.
        dim: Width of a step.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(_ResidualBlock(1, channels), _ResidualBlock(channels, channels))
        self.linear = nn.Linear(channels * BANDS // 4, dim)

    def forward(self, log_mel: Float[Tensor, "batch bands frames"]) -> Float[Tensor, "batch steps dim"]:
        return self.linear(self.blocks(log_mel[:, None]).flatten(1, 2).mT)


class _ResidualBlock(nn.Module):
    """Two convolutions beside one, all with batch norms; halves bands and frames."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.conv3 = nn.Conv2d(channels, out, 3, stride=2, padding=1)
        self.bn1, self.bn2, self.bn3 = (nn.BatchNorm2d(out) for _ in range(3))

    def forward(self, image: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "batch out rows2 columns2"]:
        deep = self.bn2(self.conv2(self.bn1(self.conv1(image)).relu()))
        return (deep + self.bn3(self.conv3(image))).relu()


def conformer(config: MuqConfig) -> Wav2Vec2ConformerEncoder:
    """MuQ's conformer as far as it is heard; its `last_hidden_state` is the layer that MuLan reads.

    The published model picks one of the hidden states: that before the first layer, those after each, of which the last
    is behind a final norm. Later versions of transformers list them otherwise, or not at all, so the layers that are
    not heard are left out instead.
    """
    encoder = Wav2Vec2ConformerEncoder(config.conformer)
    del encoder.pos_conv_embed  # made and never called: the positions are rotary
    encoder.embed_positions = _RotaryPositions(config.conformer)
    if config.heard_layers < config.conformer.num_hidden_layers:
        encoder.layers = encoder.layers[: config.heard_layers]
        encoder.register_module("layer_norm", nn.Identity())
    return encoder


class _RotaryPositions(Wav2Vec2ConformerRotaryPositionalEmbedding):
    """The angles of the steps, made anew at every call.

    The original keeps those of the last call: made in inference mode, they break the next backward pass.
    """

    def forward(self, hidden_states: Float[Tensor, "batch steps dim"]) -> Float[Tensor, "2 steps 1 1 head_dim"]:
        steps = torch.arange(hidden_states.shape[1], dtype=self.inv_freq.dtype, device=self.inv_freq.device)
        angles = torch.outer(steps, self.inv_freq).repeat(1, 2)
        return torch.stack([angles.cos(), angles.sin()])[:, :, None, None].to(hidden_states.dtype)
