"""AudioLDM 2 on diffusers: a UNet over mel spectrograms in the latents of an autoencoder, and a vocoder; 16 kHz mono.

Its prompts are read by CLAP and T5, and by GPT-2, which writes eight vectors about what both said.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from diffusers import (
    AudioLDM2Pipeline,
    AudioLDM2ProjectionModel,
    AudioLDM2UNet2DConditionModel,
    AutoencoderKL,
    DDIMScheduler,
)
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import ClapModel, GPT2LMHeadModel, RobertaTokenizer, SpeechT5HifiGan, T5EncoderModel, T5Tokenizer

from feature_export.encoders.compute import Compute
from tunejury_jax.applications.generators.cards import CARDS
from tunejury_jax.applications.generators.denoising import Denoiser, Noise, denoise
from tunejury_jax.applications.generators.loading import digest_of
from tunejury_jax.applications.generators.pipelines import load_parts, networks_of
from tunejury_jax.applications.generators.protocol import Waves
from tunejury_jax.applications.generators.recipes import Recipe

__all__ = ["RECIPES", "AudioLdm2", "load"]

NAME = "audioldm2-music"
RECIPES = CARDS[NAME].recipes
PARTS = {
    "vae": AutoencoderKL,
    "text_encoder": ClapModel,
    "text_encoder_2": T5EncoderModel,
    "projection_model": AudioLDM2ProjectionModel,
    "language_model": GPT2LMHeadModel,
    "tokenizer": RobertaTokenizer,
    "tokenizer_2": T5Tokenizer,
    "unet": AudioLDM2UNet2DConditionModel,
    "scheduler": DDIMScheduler,
    "vocoder": SpeechT5HifiGan,
}


class Told(NamedTuple):
    """What the network is told of a prompt: of the negative one, then of the prompt; of that only without guidance."""

    text: Float[Tensor, "sides *batch tokens text_dim"]
    mask: Int[Tensor, "sides *batch tokens"]
    written: Float[Tensor, "sides *batch 8 written_dim"]


class AudioLdm2(Denoiser[Told]):
    """AudioLDM 2, sampled with DDIM.

    Args:
        pipeline: Its modules; its sampler's noise schedule is used, its feature extractor is not.
        recipe: How it samples.
        compute: Where and how its networks run.
        name: Of the backbone.
        weights: What says which weights it has.

    Raises:
        ValueError: The recipe is not one of noise, or has another sampler.
    """

    samplers = ("ddim",)
    longest_s = CARDS[NAME].longest_s

    def __init__(
        self,
        pipeline: AudioLDM2Pipeline,
        recipe: Recipe,
        compute: Compute,
        name: str = NAME,
        weights: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name, networks_of(pipeline), recipe, compute, weights)
        self.sample_rate_hz = pipeline.vocoder.config.sampling_rate
        self._pipeline: Any = pipeline
        self._scheduler: Any = DDIMScheduler.from_config(pipeline.scheduler.config)

    def latent_shape(self, duration_s: float) -> tuple[int, int, int]:
        """Channels, frames and bands."""
        vocoder, unit = self._pipeline.vocoder.config, self._pipeline.vae_scale_factor
        frames = math.ceil(self.samples(duration_s) / (math.prod(vocoder.upsample_rates) * unit))
        return self._pipeline.unet.config.in_channels, frames, vocoder.model_in_dim // unit

    def _encode(self, prompt: str, duration_s: float) -> Told:
        return Told(
            *self._pipeline.encode_prompt(
                prompt,
                self.compute.device,
                num_waveforms_per_prompt=1,
                do_classifier_free_guidance=self.recipe.guidance != 1,
                negative_prompt=self.recipe.negative_prompt,
            )
        )

    def _sample(self, noise: Noise, conditions: Sequence[Told]) -> Tensor:
        self._scheduler.set_timesteps(self.recipe.steps)
        return denoise(self._guided(self._network, _batched(conditions)), self._scheduler, noise)

    def _network(self, latents: Tensor, times: Tensor, text: Tensor, mask: Tensor, written: Tensor) -> Tensor:
        return self._pipeline.unet(
            latents,
            times,
            encoder_hidden_states=written,
            encoder_hidden_states_1=text,
            encoder_attention_mask_1=mask,
            return_dict=False,
        )[0]

    def _decode(self, latents: Tensor, samples: int) -> Waves:
        mel = self._again(self._mel, self._exact)(latents)
        return self._again(self._pipeline.vocoder, self._exact)(mel)[:, None, :samples]

    def _mel(self, latents: Tensor) -> Float[Tensor, "batch frames bands"]:
        vae = self._pipeline.vae
        return vae.decode(latents / vae.config.scaling_factor).sample.squeeze(1)


def _batched(conditions: Sequence[Told]) -> Told:
    """Of sides and a batch of prompts; tokens that only longer prompts have are masked."""
    parts = (pad_sequence([part.transpose(0, 1) for part in each]) for each in zip(*conditions, strict=True))
    return Told(*(part.transpose(0, 2) for part in parts))


def load(folder: Path, recipe: Recipe, compute: Compute, name: str) -> AudioLdm2:
    """Loads AudioLDM 2 from a local folder in the layout of its publication.

    Raises:
        ValueError: Something is missing or is not what it should be.
    """
    # Published with the class GPT2Model, whose outputs diffusers no longer takes; the weights are the same.
    parts: dict[str, Any] = {**load_parts(folder, PARTS), "feature_extractor": None}
    return AudioLdm2(AudioLDM2Pipeline(**parts), recipe, compute, name, {"sha256": digest_of(folder)})
