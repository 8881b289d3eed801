"""Encoders whose network hears a clip in windows: one clip at a time, or the windows of many clips together."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from feature_export.audio import Waveform
from feature_export.encoders.protocol import WindowedEncoder

__all__ = ["embed_clip", "weighted_mean"]


def embed_clip(encoder: WindowedEncoder, wave: Waveform) -> Float[Tensor, " dim"]:
    """Embeds one decoded clip, window by window; differentiable in its samples."""
    windows = encoder.framing.windows(wave)
    embedded = torch.cat([encoder.embed_windows(window[None]) for window in windows])
    return encoder.pool(embedded, [len(window) for window in windows])


def weighted_mean(embedded: Float[Tensor, "windows dim"], lengths: Sequence[int]) -> Float[Tensor, " dim"]:
    """The mean of the windows' embeddings, each weighted by its number of samples."""
    weights = embedded.new_tensor(lengths)
    return (weights[:, None] * embedded).sum(0) / weights.sum()
