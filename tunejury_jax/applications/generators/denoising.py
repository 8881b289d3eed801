"""What backbones that make a clip from noise, step by step, have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar, Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from feature_export.encoders.compute import Compute
from tunejury_jax.applications.generators.noise import seeded_noise
from tunejury_jax.applications.generators.protocol import Waves
from tunejury_jax.applications.generators.provenance import describe
from tunejury_jax.applications.generators.recipes import DiffusionRecipe, Recipe
from tunejury_jax.applications.generators.rectified_flow import Velocity, checkpointed, guided
from tunejury_jax.applications.generators.requests import check_request, sample_count
from tunejury_jax.errors import one_of

__all__ = ["Denoiser", "Noise", "denoise"]

Noise = Float[Tensor, "batch *latent"]
Told = TypeVar("Told")

PROMPTS_KEPT = 64
"""Encoded prompts take a megabyte each at most; iterations over a batch ask for the same ones again and again."""


class Denoiser(ABC, Generic[Told]):
    """A frozen backbone that renders noise into clips; a `DifferentiableGenerator` by what its subclasses add.

    Under autocast only the steps of the sampler run in bfloat16: prompts are read, and latents decoded, in float32.

    Attributes:
        samplers: Those that its recipes can have.
        longest_s: The longest clip it makes, in seconds.
        sample_rate_hz: Of its clips.

    Args:
        name: Of the backbone.
        network: All its modules; they are moved to the device, and frozen.
        recipe: How it samples.
        compute: Where and how its networks run.
        weights: What says which weights it has.

    Raises:
        ValueError: The recipe is not one of noise, or has another sampler.
    """

    samplers: ClassVar[tuple[str, ...]]
    longest_s: float
    sample_rate_hz: int

    def __init__(
        self, name: str, network: nn.Module, recipe: Recipe, compute: Compute, weights: Mapping[str, str] | None
    ) -> None:
        if not isinstance(recipe, DiffusionRecipe):
            raise ValueError(f"recipe: {name} makes clips from noise, got {recipe}")
        one_of("sampler", recipe.sampler, self.samplers)
        self.name, self.recipe, self.weights = name, recipe, dict(weights or {})
        self.compute, self._exact = compute, replace(compute, autocast=False)
        self.network = network.to(compute.device).eval().requires_grad_(False)
        self._condition = lru_cache(PROMPTS_KEPT)(self._read)

    def provenance(self) -> dict[str, Any]:
        """Backbone, weights, recipe, precision."""
        return describe(self.name, self.weights, self.recipe, self.compute)

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], duration_s: float) -> Waves:
        """One clip a prompt, on the CPU; see `Generator`."""
        check_request(prompts, seeds, duration_s, self.longest_s)
        with torch.no_grad():
            return self.render(self.initial_noise(seeds, duration_s), prompts, duration_s).cpu()

    def initial_noise(self, seeds: Sequence[int], duration_s: float) -> Noise:
        """Standard normal noise, the same on every device; see `DifferentiableGenerator`."""
        return seeded_noise(seeds, self.latent_shape(duration_s), self.compute.device)

    def render(self, noise: Noise, prompts: Sequence[str], duration_s: float) -> Waves:
        """Clips made from noise, differentiable in it; see `DifferentiableGenerator`.

        Raises:
            ValueError: The noise is not that of as many prompts and this duration, or no clip can be so long.
        """
        check_request(prompts, range(len(prompts)), duration_s, self.longest_s)
        expected = (len(prompts), *self.latent_shape(duration_s))
        if noise.shape != expected:
            raise ValueError(f"noise: got shape {tuple(noise.shape)}, expected {expected} for {duration_s:g} s")
        latents = self._sample(noise, [self._condition(prompt, duration_s) for prompt in prompts])
        return self._decode(latents, self.samples(duration_s)).to(noise.dtype)

    def samples(self, duration_s: float) -> int:
        """Samples of a clip."""
        return sample_count(duration_s, self.sample_rate_hz)

    @abstractmethod
    def latent_shape(self, duration_s: float) -> tuple[int, ...]:
        """Of the noise that one clip is made from."""

    @abstractmethod
    def _encode(self, prompt: str, duration_s: float) -> Told:
        """What the network is told of one prompt, read alone, so that no other prompt of a batch changes it."""

    @abstractmethod
    def _sample(self, noise: Noise, conditions: Sequence[Told]) -> Tensor:
        """Latents of clips."""

    @abstractmethod
    def _decode(self, latents: Tensor, samples: int) -> Waves:
        """The first samples of clips."""

    def _read(self, prompt: str, duration_s: float) -> Told:
        with torch.no_grad(), self._exact.running():
            return self._encode(prompt, duration_s)

    def _guided(self, network: Callable[..., Tensor], told: Sequence[Tensor]) -> Velocity:
        """A network under the recipe's guidance, of which only inputs are kept for the way back.

        Args:
            network: Of latents, times and the parts of a condition.
            told: These parts; of each the prompts' last, and the negative prompts' first where there is guidance.
        """
        unprompted, prompted = (tuple(part[side] for part in told) for side in (0, -1))
        return self._again(guided(network, prompted, unprompted, self.recipe.guidance), self.compute)

    @staticmethod
    def _again(run: Callable[..., Tensor], compute: Compute) -> Callable[..., Tensor]:
        """A call of networks that keeps only its inputs, and is made again, in the same precision, on the way back."""

        def run_so(latents: Tensor, *others: Tensor) -> Tensor:
            with compute.running():
                return run(latents, *others).to(latents.dtype)

        return checkpointed(run_so)


def denoise(velocity: Velocity, scheduler: Any, noise: Noise, **options: Any) -> Tensor:
    """From noise to latents, with a sampler of diffusers whose timesteps are set.

    Args:
        velocity: What the sampler steps along, of latents scaled as it wants them, and times.
        scheduler: The sampler. It keeps what it needs of earlier steps, so that a step of it must not be made twice:
            only `velocity` may be checkpointed.
        noise: Standard normal.
        options: Of every step of the sampler.
    """
    latents = noise * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        times = timestep.to(latents).expand(len(latents))
        direction = velocity(scheduler.scale_model_input(latents, timestep), times)
        latents = scheduler.step(direction, timestep, latents, **options).prev_sample
    return latents
