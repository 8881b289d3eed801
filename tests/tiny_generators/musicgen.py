"""A tiny MusicGen: 32 kHz mono, four rows of tokens at 50 Hz, as published; everything else is small."""

from pathlib import Path

import torch
from transformers import (
    EncodecConfig,
    EncodecFeatureExtractor,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    MusicgenProcessor,
    T5Config,
)

from tests.tiny_generators.tokenizers import t5_tokenizer

__all__ = ["TOKENS", "build", "write"]

TOKENS = 64


def write(folder: Path, seed: int = 0) -> None:
    """Writes model, vocabulary and configurations as the hub's folder holds them."""
    build(seed).save_pretrained(folder)
    extractor = EncodecFeatureExtractor(feature_size=1, sampling_rate=32000)
    MusicgenProcessor(extractor, t5_tokenizer()).save_pretrained(folder)


def build(seed: int = 0) -> MusicgenForConditionalGeneration:
    """The model in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MusicgenForConditionalGeneration(_config()).eval()
        for layer in model.audio_encoder.quantizer.layers:
            layer.codebook.embed.normal_()  # constructed ones are all zero: every clip would be the same
        _listen(model.audio_encoder.encoder)
        for matrix in (*model.decoder.parameters(), model.enc_to_dec_proj.weight):
            if matrix.ndim == 2:
                matrix.data.normal_(std=0.4)  # constructed ones hardly hear the prompt, nor prefer a token
    for field in ("decoder_start_token_id", "pad_token_id", "bos_token_id"):
        setattr(model.generation_config, field, TOKENS)
    return model


@torch.no_grad()
def _listen(encoder: torch.nn.Module) -> None:
    """A constructed encoder says nearly the same of every sound: what differs is made as large as the codebooks are."""
    last = encoder.layers[-1].conv
    last.parametrizations.weight.original0.mul_(200)
    last.bias.sub_(encoder(0.3 * torch.randn(1, 1, 6400)).mean((0, 2)))


def _config() -> MusicgenConfig:
    text = T5Config(
        vocab_size=len(t5_tokenizer()),
        d_model=12,
        d_ff=24,
        d_kv=8,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
    )
    audio = EncodecConfig(
        sampling_rate=32000,
        audio_channels=1,
        num_filters=4,
        hidden_size=8,
        codebook_size=TOKENS,
        codebook_dim=8,
        upsampling_ratios=[8, 5, 4, 4],
        num_lstm_layers=1,
        target_bandwidths=[1.2],
        normalize=False,
        use_causal_conv=False,
    )
    tokens = MusicgenDecoderConfig(
        vocab_size=TOKENS,
        hidden_size=16,
        ffn_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_codebooks=4,
        pad_token_id=TOKENS,
        bos_token_id=TOKENS,
        audio_channels=1,
    )
    return MusicgenConfig(text_encoder=text.to_dict(), audio_encoder=audio.to_dict(), decoder=tokens.to_dict())
