"""Models configured for stable-audio-tools, as modules of diffusers.

Of all that stable-audio-tools can build this knows the kind of Stable Audio Open small: a transformer with prepended
duration, cross attention and normalised queries and keys, on the latents of an Oobleck autoencoder. Others are refused.

Source: github.com/Stability-AI/stable-audio-tools, `models/dit.py`, `models/transformer.py`, `models/autoencoders.py`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderOobleck, StableAudioDiTModel
from jaxtyping import Float
from torch import Tensor, nn

from tunejury_jax.applications.generators.oobleck import new_autoencoder

__all__ = [
    "configured_autoencoder",
    "configured_transformer",
    "look_up",
    "require",
    "rotary_frequencies",
    "rotation",
    "take",
]

Rotation = Float[Tensor, "places rotated"]

LARGEST = 1 << 24
"""Of any number in a configuration; the largest is the length of a clip in samples."""

TIME_DIM = 256
LEAST_ROTATED = 32

SIZES = ("io_channels", "embed_dim", "depth", "num_heads", "cond_token_dim", "global_cond_dim")
TRANSFORMER: dict[str, tuple[Any, ...]] = {
    "attn_kwargs": ({"qk_norm": "ln"},),
    "transformer_type": (None, "continuous_transformer"),
    "global_cond_type": (None, "prepend"),
    "timestep_cond_type": (None, "global"),
    "project_cond_tokens": (None, True),
    "project_global_cond": (None, True),
    "patch_size": (None, 1),
}
"""What else its configuration may say; None: nothing."""

AUTOENCODER: dict[str, tuple[Any, ...]] = {
    "type": ("autoencoder",),
    "scale": (None, 1.0),
    "config.bottleneck.type": ("vae",),
    "config.encoder.type": ("oobleck",),
    "config.decoder.type": ("oobleck",),
    "config.encoder.config.use_snake": (True,),
    "config.decoder.config.use_snake": (True,),
    "config.decoder.config.final_tanh": (False,),
}


def look_up(document: Any, path: str) -> Any:
    """A value of nested objects, such as `model.io_channels`; None where there is none."""
    for key in path.split("."):
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def take(document: Any, path: str, kind: type) -> Any:
    """A value of nested objects that must be there.

    Raises:
        ValueError: It is not, is of another kind, or a number that is not positive or too large.
    """
    value = look_up(document, path)
    if type(value) is not kind or (kind is int and not 0 < value <= LARGEST):
        most = f" from 1 to {LARGEST}" if kind is int else ""
        raise ValueError(f"{path}: got {value!r}, expected {kind.__name__}{most}")
    return value


def require(document: Any, accepted: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuses what is not known here.

    Args:
        document: A configuration.
        accepted: By path.

    Raises:
        ValueError: Says what it is.
    """
    for path, values in accepted.items():
        if look_up(document, path) not in values:
            raise ValueError(f"{path}: got {look_up(document, path)!r}, accepted are {', '.join(map(repr, values))}")


def configured_transformer(config: Mapping[str, Any], frames: int) -> StableAudioDiTModel:
    """The transformer of `model.diffusion.config`, with random weights.

    Args:
        config: Its configuration.
        frames: Latents of a clip.

    Raises:
        ValueError: It is of a kind that is not known here, or a size is impossible.
    """
    require(config, {key: TRANSFORMER.get(key, ()) for key in {*TRANSFORMER, *config} - {*SIZES}})
    channels, width, depth, heads, token_dim, global_dim = (take(config, size, int) for size in SIZES)
    head_dim, rest = divmod(width, heads)
    if rest or head_dim < LEAST_ROTATED:
        raise ValueError(
            f"embed_dim: got {width}, accepted for {heads} heads are multiples from {heads * LEAST_ROTATED} on"
        )
    transformer = StableAudioDiTModel(
        sample_size=frames,
        in_channels=channels,
        out_channels=channels,
        num_layers=depth,
        attention_head_dim=head_dim,
        num_attention_heads=heads,
        num_key_value_attention_heads=heads,
        cross_attention_dim=width,
        time_proj_dim=TIME_DIM,
        global_states_input_dim=global_dim,
        cross_attention_input_dim=token_dim,
    )
    for block in transformer.transformer_blocks:
        _adapt(block, head_dim)
    return transformer


def _adapt(block: Any, head_dim: int) -> None:
    """Makes of a block of 1.0 one of small: queries and keys are normalised, and norms have no bias that learns."""
    for attention in (block.attn1, block.attn2):
        attention.norm_q = nn.LayerNorm(head_dim, eps=1e-6)
        attention.norm_k = nn.LayerNorm(head_dim, eps=1e-6)
    for norm in (block.norm1, block.norm2, block.norm3):
        zeros = norm.bias.detach()
        del norm.bias
        norm.register_buffer("bias", zeros)


def configured_autoencoder(config: Mapping[str, Any], sample_rate_hz: int) -> AutoencoderOobleck:
    """The autoencoder of `model.pretransform`, with random weights.

    Args:
        config: Its configuration.
        sample_rate_hz: Of its clips.

    Raises:
        ValueError: It is of a kind that is not known here, or a size is impossible.
    """
    require(config, AUTOENCODER)
    strides, multiples = (take(config, f"config.encoder.config.{name}", list) for name in ("strides", "c_mults"))
    for number, size in enumerate((*strides, *multiples)):
        take({str(number): size}, str(number), int)
    return new_autoencoder(
        downsampling_ratios=strides,
        channel_multiples=multiples,
        encoder_hidden_size=take(config, "config.encoder.config.latent_dim", int),
        decoder_channels=take(config, "config.decoder.config.channels", int),
        decoder_input_channels=take(config, "config.decoder.config.latent_dim", int),
        audio_channels=take(config, "config.decoder.config.out_channels", int),
        sampling_rate=sample_rate_hz,
    )


def rotary_frequencies(head_dim: int) -> Float[Tensor, " half"]:
    """How fast each pair of rotated dimensions of a head turns, in radians a place."""
    rotated = max(head_dim // 2, LEAST_ROTATED)
    return 10000.0 ** -(torch.arange(0, rotated, 2, dtype=torch.float32) / rotated)


def rotation(head_dim: int, places: int) -> tuple[Rotation, Rotation]:
    """Cosine and sine that turn the first dimensions of queries and keys, by place."""
    angles = torch.arange(places, dtype=torch.float32)[:, None] * rotary_frequencies(head_dim)
    angles = torch.cat([angles, angles], dim=1)
    return angles.cos(), angles.sin()
