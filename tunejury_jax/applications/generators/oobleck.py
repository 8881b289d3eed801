"""The Oobleck autoencoder of Stable Audio and TangoFlux: decoding no more than is kept, clips as training examples."""

import warnings
from typing import Any

import torch
from diffusers import AutoencoderOobleck
from jaxtyping import Float
from torch import Tensor, nn

from feature_export.encoders.compute import Compute
from feature_export.resample import resample
from tunejury_jax.applications.generators.protocol import Waves
from tunejury_jax.applications.generators.rectified_flow import checkpointed

__all__ = ["Examples", "as_examples", "decode_first", "from_examples", "latents_reached", "new_autoencoder"]

Examples = Float[Tensor, "batch width latents_and_1"]
"""Latents of clips and the silence after them, and one more column, which says how many seconds are the clip."""


def new_autoencoder(**sizes: Any) -> AutoencoderOobleck:
    """An autoencoder with random weights, of the sizes of the published ones unless others are given."""
    with warnings.catch_warnings():  # of torch, that diffusers uses its older weight normalisation
        warnings.simplefilter("ignore", FutureWarning)
        return AutoencoderOobleck(**sizes)


def decode_first(
    autoencoder: AutoencoderOobleck, latents: Float[Tensor, "batch width latents"], samples: int, compute: Compute
) -> Waves:
    """The first samples of what latents decode to, from no more latents than these samples depend on.

    Of every layer or residual unit only the input is kept for the backward pass.

    Args:
        autoencoder: Its decoder is used.
        latents: Of whole clips.
        samples: How many are wanted.
        compute: How it is run.
    """
    decoder = autoencoder.decoder
    blocks = (stage for block in decoder.block for stage in block.children())

    @checkpointed
    def run(stage: nn.Module, value: Tensor) -> Tensor:
        with compute.running():
            return stage(value)

    value = latents[..., : latents_reached(decoder, samples)]
    for stage in (decoder.conv1, *blocks, decoder.snake1, decoder.conv2):
        value = run(stage, value)
    return value[..., :samples]


def latents_reached(decoder: nn.Module, samples: int) -> int:
    """How many latents, from the first on, the first samples of a decoded clip depend on.

    The last sample is followed back through the convolutions, which are a chain; what passes them by reaches less far.
    """
    last = samples - 1
    convolutions = [layer for layer in decoder.modules() if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d)]
    for layer in reversed(convolutions):
        padding = int(layer.padding[0])
        if isinstance(layer, nn.ConvTranspose1d):
            last = (last + padding) // layer.stride[0]
        else:
            last += layer.dilation[0] * (layer.kernel_size[0] - 1) - padding
    return last + 1


@torch.no_grad()
def as_examples(
    autoencoder: AutoencoderOobleck, waves: Waves, sample_rate_hz: int, samples: int, compute: Compute
) -> Examples:
    """Clips as what a network on latents learns from: mean latents of the clip and of the silence after it.

    Args:
        autoencoder: Its encoder is used, on one clip at a time.
        waves: Mono, which is put on both channels, or stereo.
        sample_rate_hz: Of the waves.
        samples: To which clips are padded, at the rate of the autoencoder.
        compute: How it is run.

    Raises:
        ValueError: More than two channels, no samples, or clips longer than `samples`.
    """
    if waves.shape[1] > 2:
        raise ValueError(f"waves: got {waves.shape[1]} channels, accepted are 1 and 2")
    rate_hz = autoencoder.sampling_rate
    clips = resample(waves, sample_rate_hz, rate_hz).to(compute.device).expand(-1, 2, -1)
    length = clips.shape[2]
    if not 0 < length <= samples:
        raise ValueError(
            f"waves: got {length / rate_hz:g} s, accepted are lengths above 0 and up to {samples / rate_hz:g} s"
        )
    padded = nn.functional.pad(clips, (0, samples - length))
    with compute.running():
        latents = torch.cat([autoencoder.encode(clip, return_dict=False)[0].mode() for clip in padded.split(1)])
    seconds = latents.new_full((*latents.shape[:2], 1), length / rate_hz)
    return torch.cat([latents, seconds], dim=2)


def from_examples(examples: Examples) -> tuple[Float[Tensor, "batch width latents"], Float[Tensor, " batch"]]:
    """Latents, and seconds of the clips, of what `as_examples` made."""
    return examples[..., :-1], examples[:, 0, -1]
