"""Noise that clips are made from."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["seeded_noise"]


def seeded_noise(seeds: Sequence[int], shape: Sequence[int], device: str) -> Float[Tensor, "batch *latent"]:
    """Standard normal float32 noise, of every seed its own whatever the others are.

    Args:
        seeds: One a clip.
        shape: Of the noise of one clip.
        device: Where it is wanted; it is drawn on the CPU, so that it is the same everywhere.
    """
    drawn = [torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(drawn).to(device)
