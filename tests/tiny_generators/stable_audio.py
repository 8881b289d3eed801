"""Stable Audio Open 1.0 with tiny random weights in the layout of its publication: 8 kHz stereo, up to 5.12 s."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    CosineDPMSolverMultistepScheduler,
    StableAudioDiTModel,
    StableAudioPipeline,
    StableAudioProjectionModel,
)
from transformers import T5Config, T5EncoderModel

from tests.tiny_generators.tokenizers import t5_tokenizer
from tunejury_jax.applications.generators.oobleck import new_autoencoder

__all__ = ["write"]

FRAMES, LATENTS, T5_DIM, DIM = 256, 4, 16, 8


def write(folder: Path, seed: int = 0) -> None:
    """Writes what `hf download` of its repository makes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _pipeline().save_pretrained(folder)


def _pipeline() -> StableAudioPipeline:
    parts: dict[str, Any] = {
        "vae": new_autoencoder(
            encoder_hidden_size=6,
            downsampling_ratios=[2, 2, 4, 10],
            decoder_channels=4,
            decoder_input_channels=LATENTS,
            audio_channels=2,
            channel_multiples=[1, 2, 4, 8],
            sampling_rate=8000,
        ),
        "text_encoder": T5EncoderModel(T5Config(vocab_size=128, d_model=T5_DIM, d_ff=32, d_kv=8, num_heads=2)).eval(),
        "projection_model": StableAudioProjectionModel(T5_DIM, DIM, min_value=0, max_value=32),
        "tokenizer": t5_tokenizer(64),
        "transformer": StableAudioDiTModel(
            sample_size=FRAMES,
            in_channels=LATENTS,
            out_channels=LATENTS,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            num_key_value_attention_heads=2,
            cross_attention_dim=DIM,
            time_proj_dim=8,
            global_states_input_dim=2 * DIM,
            cross_attention_input_dim=DIM,
        ),
        "scheduler": CosineDPMSolverMultistepScheduler(solver_order=2, sigma_data=1.0, sigma_schedule="exponential"),
    }
    return StableAudioPipeline(**parts)
