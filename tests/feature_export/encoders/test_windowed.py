"""A clip through its windows."""

from collections.abc import Sequence

import torch
from torch import Tensor

from feature_export.audio import Waveform
from feature_export.encoders import WindowedEncoder
from feature_export.encoders.windowed import embed_clip, weighted_mean
from tunejury_jax.blocks import Block


class Thirds:
    """Windows of three samples, the last one shorter; the network is a mean and a sum of squares."""

    block, sample_rate_hz = Block("thirds", 2, "clip"), 8000
    revision = description = "thirds"

    def provenance(self) -> dict[str, str]:
        return {}

    def embed(self, wave: Waveform) -> Tensor:
        return embed_clip(self, wave)

    def windows(self, wave: Waveform) -> tuple[Tensor, ...]:
        return wave.samples[0].split(3)

    @property
    def framing(self) -> "Thirds":
        return self

    def embed_windows(self, windows: Tensor) -> Tensor:
        return torch.stack([windows.mean(1), windows.square().sum(1)], dim=1)

    def pool(self, embedded: Tensor, lengths: Sequence[int]) -> Tensor:
        return weighted_mean(embedded, lengths)


def test_the_mean_over_windows_weighted_by_length_is_the_mean_over_samples() -> None:
    samples = torch.arange(7.0, requires_grad=True)
    assert isinstance(Thirds(), WindowedEncoder)
    embedded = Thirds().embed(Waveform(samples[None], 8000))
    assert torch.allclose(embedded[0], samples.mean())
    (gradient,) = torch.autograd.grad(embedded[0], samples)
    assert torch.allclose(gradient, torch.full((7,), 1 / 7))


def test_weights_are_lengths() -> None:
    embedded = torch.tensor([[1.0, 0.0], [5.0, 8.0]])
    assert weighted_mean(embedded, [3, 1]).tolist() == [2.0, 2.0]
    assert weighted_mean(embedded, [2, 2]).tolist() == [3.0, 4.0]
