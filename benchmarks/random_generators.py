"""Backbones of the published sizes with random weights: memory and time do not depend on what a network has learned.

What reads prompts is made shallow: that happens once a prompt, and no gradient goes through it.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from diffusers import (
    AudioLDM2Pipeline,
    AudioLDM2ProjectionModel,
    AudioLDM2UNet2DConditionModel,
    AutoencoderKL,
    DDIMScheduler,
)
from transformers import (
    ClapConfig,
    ClapModel,
    GPT2Config,
    GPT2LMHeadModel,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
)

from feature_export.encoders.compute import Compute
from tests.tiny_generators import audioldm2 as tiny_audioldm2
from tests.tiny_generators import tangoflux as tiny_tangoflux
from tests.tiny_generators.tokenizers import roberta_tokenizer, t5_tokenizer
from tunejury_jax.applications.generators import audioldm2, tangoflux
from tunejury_jax.applications.generators.denoising import Denoiser
from tunejury_jax.applications.generators.oobleck import new_autoencoder
from tunejury_jax.applications.generators.recipes import Recipe
from tunejury_jax.errors import one_of

__all__ = ["BACKBONES", "make_tiny", "make_whole"]

T5: dict[str, Any] = {
    "d_model": 1024,
    "d_ff": 2816,
    "d_kv": 64,
    "num_layers": 1,
    "num_heads": 16,
    "feed_forward_proj": "gated-gelu",
}

# The other sizes of AudioLDM 2 are those that the conversion script of diffusers has.
SHALLOW = {"num_hidden_layers": 1, "projection_dim": 512}
VAE: dict[str, Any] = {
    "in_channels": 1,
    "out_channels": 1,
    "latent_channels": 8,
    "block_out_channels": [128, 256, 512],
    "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
}
UNET: dict[str, Any] = {
    "in_channels": 8,
    "out_channels": 8,
    "block_out_channels": (128, 256, 384, 640),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
    "up_block_types": (*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
    "cross_attention_dim": [[None, 768, 1024]] * 4,
}
VOCODER: dict[str, Any] = {
    "model_in_dim": 64,
    "sampling_rate": 16000,
    "upsample_initial_channel": 1024,
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "normalize_before": False,
}


def make_whole(name: str, recipe: Recipe, compute: Compute) -> Denoiser:
    """A backbone of its published size; TangoFlux takes 3 GB of memory, AudioLDM 2 takes 2."""
    with torch.no_grad():
        return BACKBONES[one_of("backbone", name, tuple(BACKBONES))](recipe, compute)


def make_tiny(name: str, recipe: Recipe, compute: Compute) -> Denoiser:
    """A backbone of the same classes that is small enough for a trial."""
    module, write = {
        audioldm2.NAME: (audioldm2, tiny_audioldm2.write),
        tangoflux.NAME: (tangoflux, tiny_tangoflux.write),
    }[one_of("backbone", name, tuple(BACKBONES))]
    with TemporaryDirectory() as folder:
        write(Path(folder))
        return module.load(Path(folder), recipe, compute, name)


def _tangoflux(recipe: Recipe, compute: Compute) -> Denoiser:
    flow = tangoflux.Flow(tangoflux.Sizes(), T5Config(**T5))
    return tangoflux.TangoFlux(flow, new_autoencoder(), t5_tokenizer(), recipe, compute)


def _audioldm2(recipe: Recipe, compute: Compute) -> Denoiser:
    clap = ClapConfig(text_config=SHALLOW, audio_config={"depths": [1], "num_attention_heads": [4]})
    parts: dict[str, Any] = {
        "vae": AutoencoderKL(**VAE),
        "text_encoder": ClapModel(clap),
        "text_encoder_2": T5EncoderModel(T5Config(**T5)),
        "projection_model": AudioLDM2ProjectionModel(512, 1024, 768),
        "language_model": GPT2LMHeadModel(GPT2Config(**GPT2)),
        "tokenizer": roberta_tokenizer(),
        "tokenizer_2": t5_tokenizer(),
        "feature_extractor": None,
        "unet": AudioLDM2UNet2DConditionModel(**UNET),
        "scheduler": DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False),
        "vocoder": SpeechT5HifiGan(SpeechT5HifiGanConfig(**VOCODER)),
    }
    return audioldm2.AudioLdm2(AudioLDM2Pipeline(**parts), recipe, compute)


BACKBONES: dict[str, Callable[[Recipe, Compute], Denoiser]] = {
    tangoflux.NAME: _tangoflux,
    audioldm2.NAME: _audioldm2,
}
"""By name."""
