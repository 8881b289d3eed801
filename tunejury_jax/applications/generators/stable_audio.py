r"""Stable Audio Open 1.0 on diffusers: a transformer over the latents of an autoencoder; 44.1 kHz stereo.

It was published with a sampler that draws noise at every step ("dpmpp-sde"): its clips follow from their seeds, and
not from their first noise alone. "dpmpp-ode" solves the probability flow of the same model, and renders noise.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import (
    AutoencoderOobleck,
    CosineDPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    StableAudioDiTModel,
    StableAudioPipeline,
    StableAudioProjectionModel,
)
from diffusers.models.embeddings import get_1d_rotary_pos_embed
from jaxtyping import Float
from torch import Tensor
from transformers import T5EncoderModel, T5Tokenizer

from feature_export.encoders.compute import Compute
from tunejury_jax.applications.generators.cards import CARDS
from tunejury_jax.applications.generators.denoising import Denoiser, Noise, denoise
from tunejury_jax.applications.generators.loading import digest_of
from tunejury_jax.applications.generators.oobleck import decode_first
from tunejury_jax.applications.generators.pipelines import load_parts, networks_of
from tunejury_jax.applications.generators.protocol import Waves
from tunejury_jax.applications.generators.recipes import Recipe
from tunejury_jax.applications.generators.requests import check_request

__all__ = ["RECIPES", "FlowScheduler", "StableAudio", "load"]

NAME = "stable-audio-open-1.0"
RECIPES = CARDS[NAME].recipes
SDE, ODE = "dpmpp-sde", "dpmpp-ode"
PARTS = {
    "vae": AutoencoderOobleck,
    "text_encoder": T5EncoderModel,
    "projection_model": StableAudioProjectionModel,
    "tokenizer": T5Tokenizer,
    "transformer": StableAudioDiTModel,
    "scheduler": CosineDPMSolverMultistepScheduler,
}


class FlowScheduler(EDMDPMSolverMultistepScheduler):
    r"""DPM-Solver++(2M) of diffusers with the timesteps of Stable Audio, $\frac{2}{\pi} \arctan \sigma$."""

    def precondition_noise(self, sigma: Tensor) -> Tensor:
        """The timestep that the network is told of a noise level."""
        return sigma.atan() / math.pi * 2


class Told(NamedTuple):
    """What the network is told of a prompt: of the negative one, then of the prompt; of that only without guidance."""

    tokens: Float[Tensor, "sides tokens dim"]
    length: Float[Tensor, "sides 1 2*dim"]


class StableAudio(Denoiser[Told]):
    """Stable Audio Open 1.0. It always makes latents of its longest clip, and decodes those that are asked for.

    Args:
        pipeline: Its modules; of its sampler the noise levels are used.
        recipe: How it samples.
        compute: Where and how its networks run.
        name: Of the backbone.
        weights: What says which weights it has.

    Raises:
        ValueError: The recipe is not one of noise, or has another sampler.
    """

    samplers = (SDE, ODE)

    def __init__(
        self,
        pipeline: StableAudioPipeline,
        recipe: Recipe,
        compute: Compute,
        name: str = NAME,
        weights: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name, networks_of(pipeline), recipe, compute, weights)
        self.sample_rate_hz = pipeline.vae.config.sampling_rate
        self.longest_s = pipeline.transformer.config.sample_size * pipeline.vae.hop_length / self.sample_rate_hz
        self._pipeline: Any = pipeline
        kind = FlowScheduler if self.recipe.sampler == ODE else CosineDPMSolverMultistepScheduler
        self._scheduler = kind(**_levels(pipeline.scheduler))

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], duration_s: float) -> Waves:
        """One clip a prompt, on the CPU; see `Generator`."""
        if self.recipe.sampler == ODE:
            return super().generate(prompts, seeds, duration_s)
        check_request(prompts, seeds, duration_s, self.longest_s)
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        noise, told = self.initial_noise(seeds, duration_s), [self._condition(prompt, duration_s) for prompt in prompts]
        with torch.no_grad(), warnings.catch_warnings():
            # Of torchsde, that the first noise level is rounded and the last is none at all.
            warnings.filterwarnings("ignore", "Should have t[ab]", UserWarning)
            return self._decode(self._sample(noise, told, generator=draws), self.samples(duration_s)).cpu()

    def render(self, noise: Noise, prompts: Sequence[str], duration_s: float) -> Waves:
        """Clips made from noise, differentiable in it; see `DifferentiableGenerator`.

        Raises:
            ValueError: The sampler draws noise of its own, or the noise is not that of as many prompts, or no clip can
                be so long.
        """
        if self.recipe.sampler == SDE:
            raise ValueError(f"sampler: {SDE!r} draws noise at every step; to render noise take a recipe with {ODE!r}")
        return super().render(noise, prompts, duration_s)

    def latent_shape(self, duration_s: float) -> tuple[int, int]:
        """Channels and frames, whatever the duration."""
        config = self._pipeline.transformer.config
        return config.in_channels, config.sample_size

    def _encode(self, prompt: str, duration_s: float) -> Told:
        pipeline, device = self._pipeline, self.compute.device
        guided, negative = self.recipe.guidance != 1, self.recipe.negative_prompt or None
        both = guided and negative is not None
        text = pipeline.encode_prompt(prompt, device, guided, negative)
        start, end = pipeline.encode_duration(0.0, duration_s, device, both, batch_size=1)
        told = Told(torch.cat([text, start, end], dim=1), torch.cat([start, end], dim=2))
        if not guided or both:
            return told
        # Without a negative prompt guidance leads away from nothing at all.
        return Told(torch.cat([torch.zeros_like(told.tokens), told.tokens]), told.length.repeat(2, 1, 1))

    def _sample(self, noise: Noise, conditions: Sequence[Told], **options: Any) -> Tensor:
        told = [torch.stack(part, dim=1) for part in zip(*conditions, strict=True)]
        self._scheduler.set_timesteps(self.recipe.steps)
        return denoise(self._guided(self._network, told), self._scheduler, noise, **options)

    def _network(self, latents: Tensor, times: Tensor, tokens: Tensor, length: Tensor) -> Tensor:
        width = self._pipeline.transformer.config.attention_head_dim // 2
        places = latents.shape[2] + length.shape[1]
        return self._pipeline.transformer(
            latents,
            times,
            encoder_hidden_states=tokens,
            global_hidden_states=length,
            rotary_embedding=get_1d_rotary_pos_embed(width, places, use_real=True, repeat_interleave_real=False),
            return_dict=False,
        )[0]

    def _decode(self, latents: Tensor, samples: int) -> Waves:
        return decode_first(self._pipeline.vae, latents, samples, self._exact)


def _levels(scheduler: Any) -> dict[str, Any]:
    """The arguments of a sampler. `from_config` would give one of another class its own defaults for some of them."""
    return {name: value for name, value in scheduler.config.items() if not name.startswith("_")}


def load(folder: Path, recipe: Recipe, compute: Compute, name: str) -> StableAudio:
    """Loads Stable Audio Open 1.0 from a local folder in the layout of its publication.

    Raises:
        ValueError: Something is missing or is not what it should be.
    """
    pipeline = StableAudioPipeline(**load_parts(folder, PARTS))
    return StableAudio(pipeline, recipe, compute, name, {"sha256": digest_of(folder)})
