"""A LAION-CLAP checkpoint as a `transformers.ClapModel`: names, sizes, weights.

Every tensor of the checkpoint is renamed or on the list of those that an embedding does not need; what is in neither
is left over, which `load_strictly` refuses.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import ClapConfig, ClapModel

from feature_export.encoders.clap.log_mel import BANDS
from feature_export.encoders.state_file import load_strictly

__all__ = ["bare_names", "clap_model"]

_NOT_NEEDED = re.compile(
    r"audio_branch\.(spectrogram_extractor|logmel_extractor)\..*"  # computed in log_mel.py, and compared there
    r"|audio_branch\.(tscam_conv|head)\.(weight|bias)"  # classifies sounds
    r"|audio_branch\.layers\.\d+\.blocks\.\d+\.attn_mask"  # follows from the sizes, as position_ids do
    r"|text_branch\.embeddings\.position_ids"
    r"|(audio|text)_transform\.sequential\.\d+\.(weight|bias)"  # a second projection, for a training loss
)
_RENAMED = tuple(
    (re.compile(old), new)
    for old, new in (
        (r"^text_branch\.", "text_model."),
        (r"^audio_branch\.", "audio_model.audio_encoder."),
        (r"(audio_encoder\.)bn0\.", r"\1batch_norm."),
        (r"(blocks\.\d+\.)attn\.proj\.", r"\1attention.output.dense."),
        (r"(blocks\.\d+\.)attn\.", r"\1attention.self."),
        (r"(blocks\.\d+\.)mlp\.fc1\.", r"\1intermediate.dense."),
        (r"(blocks\.\d+\.)mlp\.fc2\.", r"\1output.dense."),
        (r"(blocks\.\d+\.)norm1\.", r"\1layernorm_before."),
        (r"(blocks\.\d+\.)norm2\.", r"\1layernorm_after."),
        (r"^((audio|text)_projection)\.0\.", r"\1.linear1."),
        (r"^((audio|text)_projection)\.2\.", r"\1.linear2."),
    )
)
_FIXED = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")
"""Buffers of `ClapModel` that hold 0, 1, 2, ... and zeros."""

DIM = 512
STAGES = 4
HEAD_WIDTH = 64
"""Of RoBERTa, whatever its size."""


def bare_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix that training on several GPUs puts before every name."""
    return {key.removeprefix("module."): value for key, value in state.items()}


def clap_model(state: Mapping[str, Tensor], device: str = "cpu") -> ClapModel:
    """Builds the model of a checkpoint, its sizes read off the tensors; frozen, in evaluation mode.

    Args:
        state: By bare name.
        device: Where it will run.

    Raises:
        ValueError: Tensors are missing, left over or of another shape; says which.
    """
    # The random weights that a new model gets are replaced at once, and must not move the caller's generator.
    with torch.random.fork_rng(devices=()):
        model = ClapModel(ClapConfig(**_config(state)))
    fixed = {key: value for key, value in model.state_dict().items() if key in _FIXED}
    load_strictly(model, fixed | _converted(state), "clap")
    return model.eval().requires_grad_(False).to(device)  # type: ignore[arg-type]


def _converted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    needed = {_renamed(key): value for key, value in state.items() if not _NOT_NEEDED.fullmatch(key)}
    joint = [key for key in needed if ".attention.self.qkv." in key]
    for key in joint:
        parts = zip(("query", "key", "value"), needed.pop(key).chunk(3), strict=True)
        needed |= {key.replace("qkv", name): part for name, part in parts}
    return needed


def _renamed(key: str) -> str:
    for pattern, new in _RENAMED:
        key = pattern.sub(new, key)
    return key


def _config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The constants are those of LAION-CLAP; transformers has other defaults."""
    return {"projection_dim": DIM, "audio_config": _audio(state), "text_config": _text(state)}


def _audio(state: Mapping[str, Tensor]) -> dict[str, Any]:
    embedded, channels, patch, _ = _shape(state, "audio_branch.patch_embed.proj.weight", 4)
    hidden, first = _shape(state, "audio_branch.layers.0.blocks.0.mlp.fc1.weight", 2)
    layers = [f"audio_branch.layers.{stage}.blocks." for stage in range(STAGES)]
    return {
        "patch_embeds_hidden_size": embedded,
        "patch_embed_input_channels": channels,
        "patch_size": patch,
        "patch_stride": [patch, patch],
        "depths": [_count(state, layer) for layer in layers],
        "num_attention_heads": [_shape(state, f"{layer}0.attn.relative_position_bias_table", 2)[1] for layer in layers],
        "hidden_size": embedded * 2 ** (STAGES - 1),
        "mlp_ratio": hidden / first,
        "num_mel_bins": BANDS,
        "spec_size": 256,
        "window_size": 8,
        "enable_fusion": False,
    }


def _text(state: Mapping[str, Tensor]) -> dict[str, Any]:
    vocabulary, width = _shape(state, "text_branch.embeddings.word_embeddings.weight", 2)
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": _count(state, "text_branch.encoder.layer."),
        "num_attention_heads": max(1, width // HEAD_WIDTH),
        "intermediate_size": _shape(state, "text_branch.encoder.layer.0.intermediate.dense.weight", 2)[0],
        "max_position_embeddings": _shape(state, "text_branch.embeddings.position_embeddings.weight", 2)[0],
        "type_vocab_size": _shape(state, "text_branch.embeddings.token_type_embeddings.weight", 2)[0],
        "layer_norm_eps": 1e-5,
    }


def _shape(state: Mapping[str, Tensor], key: str, ndim: int) -> tuple[int, ...]:
    if key not in state or state[key].ndim != ndim:
        found = f"the shape {tuple(state[key].shape)}" if key in state else "nothing"
        raise ValueError(f"weights of clap: not those of this encoder; {key}: got {found}, expected {ndim} dimensions")
    return tuple(state[key].shape)


def _count(state: Iterable[str], prefix: str) -> int:
    """How many different numbers follow a prefix."""
    return len({key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix)})
