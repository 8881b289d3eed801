"""AudioLDM 2 with tiny random weights in the layout of its publication: 16 kHz, half a million weights."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AudioLDM2Pipeline,
    AudioLDM2ProjectionModel,
    AudioLDM2UNet2DConditionModel,
    AutoencoderKL,
    DDIMScheduler,
)
from torch import nn
from transformers import (
    ClapConfig,
    ClapModel,
    GPT2Config,
    GPT2Model,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
)

from tests.tiny_generators.tokenizers import roberta_tokenizer, t5_tokenizer

__all__ = ["write"]

BANDS, CLAP_DIM, T5_DIM, GPT2_DIM = 8, 16, 32, 16


def write(folder: Path, seed: int = 0) -> None:
    """Writes what `hf download` of its repository makes."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        _pipeline().save_pretrained(folder)


def _pipeline() -> AudioLDM2Pipeline:
    parts: dict[str, Any] = {
        "vae": _vae(),
        "text_encoder": _clap(),
        "text_encoder_2": T5EncoderModel(T5Config(vocab_size=128, d_model=T5_DIM, d_ff=37, d_kv=8, num_heads=2)).eval(),
        "projection_model": AudioLDM2ProjectionModel(CLAP_DIM, T5_DIM, GPT2_DIM),
        "language_model": _gpt2(),
        "tokenizer": roberta_tokenizer(),
        "tokenizer_2": t5_tokenizer(),
        "feature_extractor": None,
        "unet": _unet(),
        "scheduler": DDIMScheduler(
            beta_start=0.0015,
            beta_end=0.0195,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        "vocoder": _vocoder(),
    }
    return AudioLDM2Pipeline(**parts)


def _unet() -> AudioLDM2UNet2DConditionModel:
    sizes: dict[str, Any] = {
        "sample_size": 512,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": [[None, GPT2_DIM, T5_DIM]] * 2,
    }
    return AudioLDM2UNet2DConditionModel(**sizes)


def _vae() -> AutoencoderKL:
    sizes: dict[str, Any] = {
        "in_channels": 1,
        "out_channels": 1,
        "latent_channels": 4,
        "block_out_channels": [8, 16],
        "norm_num_groups": 8,
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "scaling_factor": 0.4,
    }
    return AutoencoderKL(**sizes)


def _clap() -> ClapModel:
    text = ClapConfig(
        text_config={
            "hidden_size": 8,
            "intermediate_size": 37,
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "vocab_size": 261,
            "projection_dim": CLAP_DIM,
        },
        audio_config={
            "spec_size": 8,
            "window_size": 4,
            "num_mel_bins": 8,
            "intermediate_size": 37,
            "depths": [1, 1],
            "num_attention_heads": [1, 1],
            "num_hidden_layers": 2,
            "hidden_size": 192,
            "projection_dim": CLAP_DIM,
            "patch_size": 2,
            "patch_stride": 2,
            "patch_embed_input_channels": 4,
        },
        projection_dim=CLAP_DIM,
    )
    return ClapModel(text).eval()


def _gpt2() -> GPT2Model:
    config = GPT2Config(
        n_embd=GPT2_DIM, n_head=2, n_layer=1, vocab_size=100, n_positions=199, bos_token_id=0, eos_token_id=0
    )
    network = GPT2Model(config)
    network.config.max_new_tokens = 8
    return network.eval()


def _vocoder() -> SpeechT5HifiGan:
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=BANDS,
            sampling_rate=16000,
            upsample_initial_channel=16,
            upsample_rates=[5, 4, 4, 2],
            upsample_kernel_sizes=[16, 16, 8, 4],
            resblock_kernel_sizes=[3, 7],
            resblock_dilation_sizes=[[1, 3], [1, 3]],
            normalize_before=False,
        )
    )
    for weight in vocoder.parameters():
        if weight.dim() == 3:  # its own start makes clips that are silent
            nn.init.kaiming_normal_(weight)
    vocoder.conv_post.weight.mul_(0.1)
    return vocoder.eval()
