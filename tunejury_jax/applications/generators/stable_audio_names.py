"""Weights published for stable-audio-tools, by the names that diffusers' modules have for them."""

import re
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["library_state"]

Weights = dict[str, Tensor]

TRANSFORMER, AUTOENCODER, DURATION = (
    "model.model.",
    "pretransform.model.",
    "conditioner.conditioners.seconds_total.embedder.embedding.",
)
FREQUENCIES = "transformer.rotary_pos_emb.inv_freq"

RENAMED = (
    (r"^timestep_features\.", "time_proj."),
    (r"^to_timestep_embed\.", "timestep_proj."),
    (r"^to_global_embed\.", "global_proj."),
    (r"^to_cond_embed\.", "cross_attention_proj."),
    (r"^transformer\.project_(in|out)\.", r"proj_\1."),
    (r"^transformer\.layers\.", "transformer_blocks."),
    (r"\.pre_norm\.", ".norm1."),
    (r"\.cross_attend_norm\.", ".norm2."),
    (r"\.ff_norm\.", ".norm3."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    (r"\.self_attn\.", ".attn1."),
    (r"\.cross_attn\.", ".attn2."),
    (r"\.([qk])_norm\.", r".norm_\1."),
    (r"\.to_out\.", ".to_out.0."),
    (r"\.ff\.ff\.", ".ff.net."),
)
FUSED = {".to_qkv.": (".to_q.", ".to_k.", ".to_v."), ".to_kv.": (".to_k.", ".to_v.")}

UNIT = ("snake1", "conv1", "snake2", "conv2")
BLOCKS = {
    "encoder": ("res_unit1", "res_unit2", "res_unit3", "snake1", "conv1"),
    "decoder": ("snake1", "conv_t1", "res_unit1", "res_unit2", "res_unit3"),
}


def library_state(published: Mapping[str, Tensor], strides: int, frequencies: Float[Tensor, " half"]) -> Weights:
    """All weights of a published model: `transformer.*`, `autoencoder.*`, `duration.*`.

    What is not known keeps its name, so that a strict load names it.

    Args:
        published: The weights of stable-audio-tools.
        strides: How many blocks the autoencoder's halves have.
        frequencies: Of the rotary embedding, which must be those that are published.

    Raises:
        ValueError: The published frequencies are others.
    """
    state: Weights = {}
    for key, value in published.items():
        if key == TRANSFORMER + FREQUENCIES:
            _check_frequencies(value, frequencies)
        elif key.startswith(TRANSFORMER):
            named = _transformer(key.removeprefix(TRANSFORMER), value)
            state |= {f"transformer.{name}": part for name, part in named.items()}
        elif key.startswith(AUTOENCODER):
            name, part = _autoencoder(key.removeprefix(AUTOENCODER), value, strides)
            state[f"autoencoder.{name}"] = part
        else:
            state[re.sub(f"^{re.escape(DURATION)}", "duration.time_positional_embedding.", key)] = value
    return state


def _check_frequencies(found: Tensor, expected: Tensor) -> None:
    if found.shape != expected.shape or not torch.allclose(found.float(), expected, rtol=5e-4):
        raise ValueError(f"weights: {FREQUENCIES} is not that of {2 * len(expected)} rotated dimensions")


def _transformer(name: str, value: Tensor) -> Weights:
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    if name == "time_proj.weight":
        value = value.flatten()
    for fused, parts in FUSED.items():
        if fused in name:
            return {
                name.replace(fused, part): chunk for part, chunk in zip(parts, value.chunk(len(parts)), strict=True)
            }
    return {name: value}


def _autoencoder(key: str, value: Tensor, strides: int) -> tuple[str, Tensor]:
    """Layers are numbered in the publication, along up to three levels, and named in the library."""
    half, *rest = key.split(".layers.")
    if half not in BLOCKS:
        return key, value
    levels = (("conv1", *(f"block.{number}" for number in range(strides)), "snake1", "conv2"), BLOCKS[half], UNIT)
    names = [half]
    for level, piece in zip(levels, rest, strict=False):
        number, _, leaf = piece.partition(".")
        if not number.isdecimal() or int(number) >= len(level):
            return key, value
        names += [level[int(number)], *([leaf] if leaf else [])]
    return ".".join(names), value[None, :, None] if names[-1] in ("alpha", "beta") else value
