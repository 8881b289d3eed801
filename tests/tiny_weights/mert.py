"""A tiny MERT-v1-330M: every tensor of the published checkpoint by name, and its two configuration files.

The numbers come from a generator whose stream NumPy keeps frozen, so golden files need not store them. Imported by the
reference environment too, which has nothing of this project's packages.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["CONFIG", "NARROW", "PREPROCESSOR", "build", "old_names", "write"]

CONFIG: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "conv_dim": [16] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": False,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 256,
    "feat_extract_norm": "group",
    "do_stable_layer_norm": True,
}
NARROW = CONFIG | {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "intermediate_size": 96,
    "conv_dim": [32] * 7,
    "num_conv_pos_embedding_groups": 4,
}
"""For golden files: deeper, and not as wide as published."""

PREPROCESSOR = {
    "do_normalize": False,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0,
    "return_attention_mask": True,
    "sampling_rate": 24000,
}
"""As published."""

_PUBLISHED = {
    "architectures": ["MERTModel"],
    "attention_relax": 32.0,
    "auto_map": {"AutoConfig": "configuration_MERT.MERTConfig", "AutoModel": "modeling_MERT.MERTModel"},
    "deepnorm": False,
    "feature_extractor_cqt": False,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-05,
    "mask_time_prob": 0.075,
    "model_type": "mert_model",
}


def write(folder: Path, seed: int = 0) -> None:
    """Writes the three files as `tunejury encoders fetch mert` places them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_PUBLISHED | CONFIG))
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    torch.save(old_names(build(CONFIG, seed)), folder / "pytorch_model.bin")


def build(config: Mapping[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """The state dict of a network, by the names of today's torch."""
    random = np.random.RandomState(seed)
    shapes = _convolutions(config) | _encoder(config) | {"masked_spec_embed": (config["hidden_size"],)}
    return {key: torch.from_numpy(_draw(random, key, shape)) for key, shape in shapes.items()}


def old_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of a normalised kernel that torch had when MERT was published."""
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    renamed = {}
    for key, value in state.items():
        for new, name in old.items():
            key = key.replace(new, name)
        renamed[key] = value
    return renamed


def _draw(random: np.random.RandomState, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values as trained ones are spread: norms near one, products that keep their size."""
    normal = random.standard_normal(shape)
    if "layer_norm.weight" in key or key.endswith("original0"):
        normal = 1 + 0.1 * normal
    elif len(shape) > 1:
        normal = normal / np.sqrt(np.prod(shape[1:]))
    else:
        normal = 0.1 * normal
    return normal.astype(np.float32)


def _convolutions(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    channels, layers = [1, *config["conv_dim"]], "feature_extractor.conv_layers"
    shapes = {
        f"{layers}.{number}.conv.weight": (channels[number + 1], channels[number], kernel)
        for number, kernel in enumerate(config["conv_kernel"])
    }
    width = channels[-1]
    shapes |= _norm(f"{layers}.0.layer_norm", channels[1]) | _norm("feature_projection.layer_norm", width)
    return shapes | _linear("feature_projection.projection", config["hidden_size"], width)


def _encoder(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    width, inner, taps = config["hidden_size"], config["intermediate_size"], config["num_conv_pos_embeddings"]
    kernel = "encoder.pos_conv_embed.conv.parametrizations.weight"
    shapes = {
        "encoder.pos_conv_embed.conv.bias": (width,),
        f"{kernel}.original0": (1, 1, taps),
        f"{kernel}.original1": (width, width // config["num_conv_pos_embedding_groups"], taps),
    } | _norm("encoder.layer_norm", width)
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layers.{number}"
        for name in "qkv":
            shapes |= _linear(f"{layer}.attention.{name}_proj", width, width)
        shapes |= _linear(f"{layer}.attention.out_proj", width, width)
        shapes |= _norm(f"{layer}.layer_norm", width) | _norm(f"{layer}.final_layer_norm", width)
        shapes |= _linear(f"{layer}.feed_forward.intermediate_dense", inner, width)
        shapes |= _linear(f"{layer}.feed_forward.output_dense", width, inner)
    return shapes


def _linear(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
