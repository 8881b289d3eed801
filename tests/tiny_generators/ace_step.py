"""ACE-Step 1.5 turbo with tiny random weights in the layout of diffusers: 8 kHz stereo, latents of 25 a second."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AceStepPipeline, AceStepTransformer1DModel, FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.ace_step import AceStepConditionEncoder
from transformers import Qwen3Config, Qwen3Model

from tests.tiny_generators.tokenizers import qwen_tokenizer
from tunejury_jax.applications.generators.oobleck import new_autoencoder

__all__ = ["write"]

LATENTS, WIDTH = 8, 32
ATTENTION: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


def write(folder: Path, seed: int = 0) -> None:
    """Writes what diffusers' converter makes of the published files, less what is for covers."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        _pipeline().save_pretrained(folder)


def _pipeline() -> AceStepPipeline:
    return AceStepPipeline(
        vae=new_autoencoder(
            encoder_hidden_size=6,
            downsampling_ratios=[2, 4, 4, 10],
            decoder_channels=3,
            decoder_input_channels=LATENTS,
            audio_channels=2,
            channel_multiples=[1, 2, 2, 4],
            sampling_rate=8000,
        ),
        text_encoder=Qwen3Model(
            Qwen3Config(**ATTENTION, num_hidden_layers=2, vocab_size=300, max_position_embeddings=512)
        ).eval(),
        tokenizer=qwen_tokenizer(),
        transformer=AceStepTransformer1DModel(
            **ATTENTION,
            num_hidden_layers=2,
            in_channels=3 * LATENTS,
            audio_acoustic_hidden_dim=LATENTS,
            sliding_window=16,
            is_turbo=True,
        ),
        condition_encoder=_condition_encoder(),
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, shift=1.0),
    )


def _condition_encoder() -> AceStepConditionEncoder:
    encoder = AceStepConditionEncoder(
        **ATTENTION,
        text_hidden_dim=WIDTH,
        timbre_hidden_dim=LATENTS,
        num_lyric_encoder_hidden_layers=2,
        num_timbre_encoder_hidden_layers=2,
        sliding_window=16,
    )
    encoder.silence_latent.normal_()
    return encoder
