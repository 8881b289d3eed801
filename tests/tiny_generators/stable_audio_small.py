"""Stable Audio Open small with tiny random weights in the layout of its publication: 44.1 kHz stereo, up to 2.2 s."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from transformers import T5Config, T5EncoderModel

from tests.tiny_generators.tokenizers import t5_tokenizer

__all__ = ["CONFIG", "published_shapes", "write"]

STRIDES, MULTIPLES = [2, 4, 4, 8, 8], [1, 2, 4, 8, 16]
LATENTS, CHANNELS, WIDTH, DEPTH, HEADS, DIM = 2, 4, 160, 2, 2, 16
ROTATED = WIDTH // HEADS // 2
SHARED = {"strides": STRIDES, "c_mults": MULTIPLES, "channels": CHANNELS, "use_snake": True}
CONFIG: dict[str, Any] = {
    "model_type": "diffusion_cond",
    "sample_size": 48 * 2048,
    "sample_rate": 44100,
    "audio_channels": 2,
    "model": {
        "pretransform": {
            "type": "autoencoder",
            "iterate_batch": True,
            "config": {
                "encoder": {"type": "oobleck", "config": {**SHARED, "in_channels": 2, "latent_dim": 2 * LATENTS}},
                "decoder": {
                    "type": "oobleck",
                    "config": {**SHARED, "out_channels": 2, "latent_dim": LATENTS, "final_tanh": False},
                },
                "bottleneck": {"type": "vae"},
                "latent_dim": LATENTS,
                "downsampling_ratio": 2048,
                "io_channels": 2,
            },
        },
        "conditioning": {
            "configs": [
                {"id": "prompt", "type": "t5", "config": {"t5_model_name": "t5-base", "max_length": 64}},
                {"id": "seconds_total", "type": "number", "config": {"min_val": 0, "max_val": 256}},
            ],
            "cond_dim": DIM,
        },
        "diffusion": {
            "cross_attention_cond_ids": ["prompt", "seconds_total"],
            "global_cond_ids": ["seconds_total"],
            "diffusion_objective": "rf_denoiser",
            "type": "dit",
            "config": {
                "io_channels": LATENTS,
                "embed_dim": WIDTH,
                "depth": DEPTH,
                "num_heads": HEADS,
                "cond_token_dim": DIM,
                "global_cond_dim": DIM,
                "transformer_type": "continuous_transformer",
                "attn_kwargs": {"qk_norm": "ln"},
            },
        },
        "io_channels": LATENTS,
    },
}


Shapes = Iterator[tuple[str, tuple[int, ...]]]


def write(folder: Path, seed: int = 0) -> None:
    """Writes what `hf download` of its repository makes, and its text encoder; the same on every machine."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    save_file({name: _drawn(name, shape, random) for name, shape in published_shapes()}, folder / "model.safetensors")
    (folder / "model_config.json").write_text(json.dumps(CONFIG))
    text = folder / "t5-base"
    encoder = T5EncoderModel(T5Config(vocab_size=128, d_model=DIM, d_ff=32, d_kv=8, num_layers=1, num_heads=2))
    encoder.save_pretrained(text)
    shapes = {name: tuple(value.shape) for name, value in encoder.state_dict().items() if "embed_tokens" not in name}
    save_file({name: _drawn(name, shape, random) for name, shape in shapes.items()}, text / "model.safetensors")
    t5_tokenizer().save_pretrained(text)


def published_shapes() -> Shapes:
    """By the published names: 14 and 23 a layer of the transformer, 365 of the autoencoder, 3 of the duration."""
    for name, shape in _transformer():
        yield f"model.model.{name}", shape
    for name, shape in _autoencoder():
        yield f"pretransform.model.{name}", shape
    for name, shape in (("0.weights", (128,)), ("1.weight", (DIM, 257)), ("1.bias", (DIM,))):
        yield f"conditioner.conditioners.seconds_total.embedder.embedding.{name}", shape


def _drawn(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    if name.endswith("inv_freq"):
        return (10000.0 ** -(np.arange(0, ROTATED, 2) / ROTATED)).astype(np.float32)
    normal = random.standard_normal(shape)
    if name.endswith("norm.beta"):
        normal = np.zeros(shape)
    elif name.endswith(("norm.weight", "gamma")):
        normal = 1 + 0.1 * normal
    elif name.endswith("weight_g"):
        normal = 0.62 + 0.1 * np.tanh(normal)
    elif name.endswith(("bias", "alpha", "beta")):
        normal = 0.05 * normal
    elif name.endswith("conv.weight"):
        normal = 0.1 * normal
    elif len(shape) == 2 and "timestep_features" not in name:
        normal = (2 if "cond_embed" in name else 0.7) * normal / np.sqrt(shape[1])
    return normal.astype(np.float32)


def _linear(name: str, rows: int, columns: int, bias: bool = False) -> Shapes:
    yield f"{name}.weight", (rows, columns)
    if bias:
        yield f"{name}.bias", (rows,)


def _transformer() -> Shapes:
    yield "timestep_features.weight", (128, 1)
    yield "preprocess_conv.weight", (LATENTS, LATENTS, 1)
    yield "postprocess_conv.weight", (LATENTS, LATENTS, 1)
    for name, columns, bias in (("timestep", 256, True), ("cond", DIM, False), ("global", DIM, False)):
        yield from _linear(f"to_{name}_embed.0", WIDTH, columns, bias)
        yield from _linear(f"to_{name}_embed.2", WIDTH, WIDTH, bias)
    yield from _linear("transformer.project_in", WIDTH, LATENTS)
    yield from _linear("transformer.project_out", LATENTS, WIDTH)
    yield "transformer.rotary_pos_emb.inv_freq", (ROTATED // 2,)
    for number in range(DEPTH):
        for name, shape in _layer():
            yield f"transformer.layers.{number}.{name}", shape


def _layer() -> Shapes:
    for norm in ("pre_norm", "cross_attend_norm", "ff_norm"):
        yield f"{norm}.gamma", (WIDTH,)
        yield f"{norm}.beta", (WIDTH,)
    fused = {"self_attn": {"to_qkv": 3 * WIDTH}, "cross_attn": {"to_q": WIDTH, "to_kv": 2 * WIDTH}}
    for attention, projections in fused.items():
        for name, rows in (projections | {"to_out": WIDTH}).items():
            yield from _linear(f"{attention}.{name}", rows, WIDTH)
        for norm in ("q_norm", "k_norm"):
            yield f"{attention}.{norm}.weight", (WIDTH // HEADS,)
            yield f"{attention}.{norm}.bias", (WIDTH // HEADS,)
    yield from _linear("ff.ff.0.proj", 8 * WIDTH, WIDTH, bias=True)
    yield from _linear("ff.ff.2", WIDTH, 4 * WIDTH, bias=True)


def _autoencoder() -> Shapes:
    widths = [CHANNELS, *(CHANNELS * multiple for multiple in MULTIPLES)]
    last = len(STRIDES) + 1
    yield from _convolution("encoder.layers.0", (widths[0], 2, 7))
    for number, stride in enumerate(STRIDES):
        layers, width = f"encoder.layers.{number + 1}.layers", widths[number]
        for unit in range(3):
            yield from _unit(f"{layers}.{unit}.layers", width)
        yield from _snake(f"{layers}.3", width)
        yield from _convolution(f"{layers}.4", (widths[number + 1], width, 2 * stride))
    yield from _snake(f"encoder.layers.{last}", widths[-1])
    yield from _convolution(f"encoder.layers.{last + 1}", (2 * LATENTS, widths[-1], 3))
    yield from _convolution("decoder.layers.0", (widths[-1], LATENTS, 7))
    for number, stride in enumerate(reversed(STRIDES)):
        layers, width, narrower = f"decoder.layers.{number + 1}.layers", widths[-1 - number], widths[-2 - number]
        yield from _snake(f"{layers}.0", width)
        yield from _convolution(f"{layers}.1", (width, narrower, 2 * stride), biases=narrower)
        for unit in range(3):
            yield from _unit(f"{layers}.{unit + 2}.layers", narrower)
    yield from _snake(f"decoder.layers.{last}", widths[0])
    yield from _convolution(f"decoder.layers.{last + 1}", (2, widths[0], 7), biases=0)


def _unit(layers: str, width: int) -> Shapes:
    yield from _snake(f"{layers}.0", width)
    yield from _convolution(f"{layers}.1", (width, width, 7))
    yield from _snake(f"{layers}.2", width)
    yield from _convolution(f"{layers}.3", (width, width, 1))


def _snake(name: str, width: int) -> Shapes:
    yield f"{name}.alpha", (width,)
    yield f"{name}.beta", (width,)


def _convolution(name: str, shape: tuple[int, int, int], biases: int | None = None) -> Shapes:
    """With normalised weights: directions, and their lengths along the first axis, which has a bias each by default."""
    yield f"{name}.weight_g", (shape[0], 1, 1)
    yield f"{name}.weight_v", shape
    count = shape[0] if biases is None else biases
    if count:
        yield f"{name}.bias", (count,)
