"""What the applications need of a generator of music."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

__all__ = ["DifferentiableGenerator", "Generator", "TrainableGenerator", "Waves"]

Waves = Float[Tensor, "batch channels samples"]
"""Clips of one length, nominally in [-1, 1], float32, on the CPU unless said otherwise."""


@runtime_checkable
class Generator(Protocol):
    """Makes clips from prompts.

    Attributes:
        name: Of the backbone, as in the list of generators.
        sample_rate_hz: Of its clips.
    """

    name: str
    sample_rate_hz: int

    def provenance(self) -> Mapping[str, Any]:
        """Everything that makes its clips, as JSON: backbone, weights, recipe, precision."""
        ...

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], duration_s: float) -> Waves:
        """One clip a prompt.

        Args:
            prompts: What the clips are to be.
            seeds: One each. A clip follows from its own prompt and seed, whatever else is in the batch, up to rounding.
            duration_s: Of every clip, in seconds; clips are cut to it.

        Raises:
            ValueError: As many seeds as prompts were not given, or the backbone cannot make so long a clip.
        """
        ...


@runtime_checkable
class DifferentiableGenerator(Generator, Protocol):
    """A frozen sampler whose clips have gradients back to the noise they were made from.

    generate(prompts, seeds, duration_s) = render(initial_noise(seeds, duration_s), prompts, duration_s), up to rounding

    Attributes:
        network: All its modules; their weights do not move.
    """

    network: nn.Module

    def initial_noise(self, seeds: Sequence[int], duration_s: float) -> Float[Tensor, "batch *latent"]:
        """The standard normal noise that clips of these seeds are made from, float32, on the generator's device."""
        ...

    def render(self, noise: Float[Tensor, "batch *latent"], prompts: Sequence[str], duration_s: float) -> Waves:
        """Clips made from noise, on its device; differentiable in the noise.

        Activations are kept of one step of the sampler at a time (gradient checkpointing), and only what belongs to
        `duration_s` is decoded.
        """
        ...


@runtime_checkable
class TrainableGenerator(Generator, Protocol):
    """A backbone that can be fine-tuned on clips and their prompts.

    Attributes:
        trained: The module whose weights are trained; the rest stays frozen.
    """

    trained: nn.Module

    def encode(self, waves: Waves, sample_rate_hz: int) -> Shaped[Tensor, "batch *example"]:
        """Clips as what the backbone learns from: latents, or tokens; of one shape for clips of one length."""
        ...

    def loss(
        self, examples: Shaped[Tensor, "batch *example"], prompts: Sequence[str], draws: torch.Generator
    ) -> Float[Tensor, ""]:
        """Mean loss of a batch, differentiable in the weights of `trained`; what is random comes from `draws`."""
        ...
