"""TangoFlux with tiny random weights in the layout of its publication: 44.1 kHz stereo, up to 2 s."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import T5Config

from tests.tiny_generators.tokenizers import t5_tokenizer
from tunejury_jax.applications.generators.oobleck import new_autoencoder
from tunejury_jax.applications.generators.tangoflux import Flow, Sizes

__all__ = ["CONFIG", "write"]

CONFIG = {
    "num_layers": 1,
    "num_single_layers": 1,
    "in_channels": 2,
    "attention_head_dim": 128,
    "joint_attention_dim": 16,
    "num_attention_heads": 1,
    "audio_seq_len": 43,
    "max_duration": 2,
    "uncondition": False,
    "text_encoder_name": "google/flan-t5-large",
}
T5 = {"vocab_size": 128, "d_model": 16, "d_ff": 32, "d_kv": 8, "num_layers": 1, "num_heads": 2}
T5 |= {"feed_forward_proj": "gated-gelu"}
TIED = "text_encoder.encoder.embed_tokens.weight"


def write(folder: Path, seed: int = 0) -> None:
    """Writes what `hf download` of its repository makes, and the text encoder's configuration and tokenizer."""
    text = folder / "flan-t5-large"
    text.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        flow = Flow(Sizes(**{key: CONFIG[key] for key in vars(Sizes())}), T5Config(**T5))
        channels = CONFIG["in_channels"]
        autoencoder = new_autoencoder(
            encoder_hidden_size=2 * channels, decoder_channels=2 * channels, decoder_input_channels=channels
        )
    loud = {key: 1.25 * value if key.endswith("weight_g") else value for key, value in autoencoder.state_dict().items()}
    state = {key: value.contiguous() for key, value in flow.state_dict().items() if key != TIED}
    save_file(state, folder / "tangoflux.safetensors")
    save_file(loud, folder / "vae.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    T5Config(**T5).save_pretrained(text)
    t5_tokenizer().save_pretrained(text)
