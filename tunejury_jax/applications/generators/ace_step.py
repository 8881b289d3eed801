r"""ACE-Step 1.5 turbo on diffusers: rectified flow on latents of 25 a second; 48 kHz stereo, instrumental.

Its steps are shifted towards noise, $t \mapsto 3t / (1 + 2t)$. Guidance was distilled into it. The network hears all
tokens of a prompt's condition and masks none, so that only prompts of equally many tokens share a batch here: padding
one, as the pipeline of diffusers does, would change its clip.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AceStepPipeline, AceStepTransformer1DModel, AutoencoderOobleck, FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.ace_step import AceStepConditionEncoder
from jaxtyping import Float
from torch import Tensor
from transformers import AutoTokenizer, Qwen3Model

from feature_export.encoders.compute import Compute
from tunejury_jax.applications.generators.cards import CARDS
from tunejury_jax.applications.generators.denoising import Denoiser, Noise
from tunejury_jax.applications.generators.loading import digest_of
from tunejury_jax.applications.generators.oobleck import decode_first
from tunejury_jax.applications.generators.pipelines import load_parts, networks_of
from tunejury_jax.applications.generators.protocol import Waves
from tunejury_jax.applications.generators.recipes import Recipe
from tunejury_jax.applications.generators.rectified_flow import euler

__all__ = ["RECIPES", "AceStep", "load"]

NAME = "ace-step-1.5-turbo"
RECIPES = CARDS[NAME].recipes
SHIFT = 3.0
TIMBRE_S = 30
TEXT_TOKENS = 256
"""Of a prompt and what is said around it."""

PEAK = 10 ** (-1 / 20)
"""-1 dBFS, to which every clip is scaled."""

PARTS = {
    "vae": AutoencoderOobleck,
    "text_encoder": Qwen3Model,
    "tokenizer": AutoTokenizer,
    "transformer": AceStepTransformer1DModel,
    "condition_encoder": AceStepConditionEncoder,
    "scheduler": FlowMatchEulerDiscreteScheduler,
}

Told = Float[Tensor, "1 _ dim"]


class AceStep(Denoiser[Told]):
    """ACE-Step 1.5 turbo, without lyrics.

    Args:
        pipeline: Its modules.
        recipe: How it samples, without guidance.
        compute: Where and how its networks run.
        name: Of the backbone.
        weights: What says which weights it has.

    Raises:
        ValueError: The recipe is not one of noise, or has guidance or another sampler, or the weights are not those of
            a turbo.
    """

    samplers = ("euler",)
    longest_s = CARDS[NAME].longest_s

    def __init__(
        self,
        pipeline: AceStepPipeline,
        recipe: Recipe,
        compute: Compute,
        name: str = NAME,
        weights: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name, networks_of(pipeline), recipe, compute, weights)
        if not pipeline.is_turbo:
            raise ValueError(f"weights: {name} expects those of a turbo, into which guidance was distilled")
        if self.recipe.guidance != 1 or self.recipe.negative_prompt:
            raise ValueError(f"guidance: got {recipe}, accepted is 1, without a negative prompt: it was distilled")
        self.sample_rate_hz = pipeline.sample_rate
        self._pipeline: Any = pipeline

    def latent_shape(self, duration_s: float) -> tuple[int, int]:
        """Frames and channels."""
        frames = math.ceil(self.samples(duration_s) / self._pipeline.vae.hop_length)
        return frames, self._pipeline.transformer.config.audio_acoustic_hidden_dim

    def _encode(self, prompt: str, duration_s: float) -> Told:
        timbre = self._silence(math.ceil(TIMBRE_S * self._pipeline.latents_per_second))
        text, text_mask, lyrics, lyrics_mask = self._pipeline.encode_prompt(
            prompt,
            lyrics="",
            device=torch.device(self.compute.device),
            audio_duration=duration_s,
            max_text_length=TEXT_TOKENS,
        )
        if text.shape[1] >= TEXT_TOKENS:
            warnings.warn(f"prompt: of {TEXT_TOKENS} tokens and more the rest is not read: {prompt!r}", stacklevel=2)
        tokens, _ = self._pipeline.condition_encoder(
            text_hidden_states=text,
            text_attention_mask=text_mask,
            lyric_hidden_states=lyrics,
            lyric_attention_mask=lyrics_mask,
            refer_audio_acoustic_hidden_states_packed=timbre,
            refer_audio_order_mask=torch.zeros(1, dtype=torch.long, device=self.compute.device),
        )
        return tokens

    def _sample(self, noise: Noise, conditions: Sequence[Told]) -> Tensor:
        lengths = torch.tensor([told.shape[1] for told in conditions])
        groups = [(lengths == length).nonzero().flatten() for length in lengths.unique()]
        made = [self._sample_alike(noise[group], torch.cat([conditions[i] for i in group])) for group in groups]
        return torch.cat(made)[torch.cat(groups).argsort()].transpose(1, 2)

    def _sample_alike(self, noise: Noise, told: Float[Tensor, "batch tokens dim"]) -> Tensor:
        even = torch.linspace(1, 0, self.recipe.steps + 1)
        times = SHIFT * even / (1 + (SHIFT - 1) * even)
        return euler(self._guided(self._network, [told[None]]), noise, times.to(noise))

    def _network(self, latents: Tensor, times: Tensor, told: Tensor) -> Tensor:
        silence = self._silence(latents.shape[1]).expand_as(latents)
        return self._pipeline.transformer(
            hidden_states=latents,
            timestep=times,
            timestep_r=times,
            encoder_hidden_states=told,
            context_latents=torch.cat([silence, torch.ones_like(silence)], dim=2),
            return_dict=False,
        )[0]

    def _silence(self, frames: int) -> Float[Tensor, "1 frames channels"]:
        """What the network is given where it is to make a clip from nothing."""
        return self._pipeline.condition_encoder.silence_latent[:, :frames]

    def _decode(self, latents: Tensor, samples: int) -> Waves:
        waves = decode_first(self._pipeline.vae, latents, samples, self._exact)
        return waves * (PEAK / waves.abs().amax((1, 2), keepdim=True).clamp(min=1e-6))


def load(folder: Path, recipe: Recipe, compute: Compute, name: str) -> AceStep:
    """Loads ACE-Step 1.5 turbo from a local folder in the layout of diffusers.

    Its tokenizers of audio are for covers, and are not loaded.

    Raises:
        ValueError: Something is missing or is not what it should be.
    """
    pipeline = AceStepPipeline(**load_parts(folder, PARTS))
    return AceStep(pipeline, recipe, compute, name, {"sha256": digest_of(folder)})
