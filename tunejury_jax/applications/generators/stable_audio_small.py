"""Stable Audio Open small: rectified flow on latents of 12 s of stereo, told of a prompt and of a duration.

A port of the sampler of stable-audio-tools to modules of diffusers and transformers. It was published distilled, to be
sampled by `pingpong`, which adds noise after every step. Here all of that noise is part of the noise that a clip is
made from, so that a clip is a differentiable function of it, as it is with `euler`. Guidance leads away from no prompt
and no duration among the tokens; the duration that is prepended stays.

The text encoder ran in float16 where the weights were trained; here it runs in float32.

Sources: Novack et al., arXiv 2505.08175; github.com/Stability-AI/stable-audio-tools, `inference/sampling.py`,
`models/conditioners.py`, `training/diffusion.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioNumberConditioner
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, T5EncoderModel, T5Tokenizer

from feature_export.encoders.compute import Compute
from feature_export.encoders.state_file import load_strictly, read_state
from tunejury_jax.applications.generators.cards import CARDS
from tunejury_jax.applications.generators.denoising import Denoiser, Noise
from tunejury_jax.applications.generators.flow_times import TIMES, Shift, sampling_times
from tunejury_jax.applications.generators.loading import digest_of, load_pretrained, load_tokenizer
from tunejury_jax.applications.generators.oobleck import Examples, as_examples, decode_first, from_examples
from tunejury_jax.applications.generators.protocol import Waves
from tunejury_jax.applications.generators.recipes import Recipe
from tunejury_jax.applications.generators.rectified_flow import euler, flow_matching_loss, pingpong
from tunejury_jax.applications.generators.stable_audio_names import library_state
from tunejury_jax.applications.generators.stable_audio_tools import (
    configured_autoencoder,
    configured_transformer,
    require,
    rotary_frequencies,
    rotation,
    take,
)
from tunejury_jax.applications.generators.t5_prompts import t5_states
from tunejury_jax.documents import read_object
from tunejury_jax.errors import one_of

__all__ = ["RECIPES", "Network", "StableAudioSmall", "load"]

NAME = "stable-audio-open-small"
RECIPES = CARDS[NAME].recipes
TEXT_ENCODER = "t5-base"
MAX_CONFIG_BYTES = 1 << 20
SHIFT, SHIFTS = "distribution_shift_options", tuple(vars(Shift()))
SAMPLERS = {"pingpong": pingpong, "euler": euler}
CONFIG: dict[str, tuple[Any, ...]] = {
    "model_type": ("diffusion_cond",),
    "model.diffusion.type": ("dit",),
    "model.diffusion.diffusion_objective": ("rf_denoiser", "rectified_flow"),
    "model.diffusion.cross_attention_cond_ids": (["prompt", "seconds_total"],),
    "model.diffusion.global_cond_ids": (["seconds_total"],),
}


@dataclass(frozen=True)
class Training:
    """How the transformer learned.

    Attributes:
        times: One of `TIMES`, or another, by which it cannot be trained here.
        shift: Of the times, for the length of the latents.
        dropout: Share of the examples that are learned without prompt and duration tokens.
    """

    times: str
    shift: Shift | None
    dropout: float


class Network(nn.Module):
    """What a `model_config.json` configures, but for the text encoder; with random weights.

    Args:
        config: The configuration.

    Raises:
        ValueError: It is of a kind that is not known here, or something is missing from it.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        require(config, CONFIG)
        diffusion, training = take(config, "model.diffusion", dict), config.get("training") or {}
        self.autoencoder = configured_autoencoder(
            take(config, "model.pretransform", dict), take(config, "sample_rate", int)
        )
        frames = take(config, "sample_size", int) // self.autoencoder.hop_length
        self.transformer = configured_transformer(take(diffusion, "config", dict), frames)
        self.prompt_tokens = take(_conditioner(config, "prompt", "t5"), "max_length", int)
        seconds = _conditioner(config, "seconds_total", "number")
        width = take(config, "model.conditioning.cond_dim", int)
        self.duration = StableAudioNumberConditioner(width, seconds.get("min_val", 0), take(seconds, "max_val", int))
        shift = diffusion.get(SHIFT)
        self.learned = Training(
            training.get("timestep_sampler", "uniform"),
            None if shift is None else Shift(**{one_of(SHIFT, key, SHIFTS): value for key, value in shift.items()}),
            training.get("cfg_dropout_prob", 0.1),
        )


def _conditioner(config: Mapping[str, Any], name: str, kind: str) -> dict[str, Any]:
    entries = take(config, "model.conditioning.configs", list)
    found = [entry for entry in entries if (entry.get("id"), entry.get("type")) == (name, kind)]
    if len(found) != 1:
        raise ValueError(f"model.conditioning.configs: got {len(found)} of id {name!r} and type {kind!r}, expected one")
    return take(found[0], "config", dict)


class Told(NamedTuple):
    """What the network is told: without prompt, then with it; the latter alone where there is no guidance."""

    tokens: Float[Tensor, "sides tokens dim"]
    duration: Float[Tensor, "sides 1 dim"]


class StableAudioSmall(Denoiser[Told]):
    """Makes clips, and learns from clips; see `DifferentiableGenerator` and `TrainableGenerator`.

    Args:
        network: The published network.
        text_encoder: T5.
        tokenizer: Of its prompts.
        recipe: How it samples, without a negative prompt.
        compute: Where and how its networks run.
        name: Of the backbone.
        weights: What says which weights it has.

    Raises:
        ValueError: The recipe is not one of noise, has another sampler, or a negative prompt.
    """

    samplers = tuple(SAMPLERS)

    def __init__(
        self,
        network: Network,
        text_encoder: T5EncoderModel,
        tokenizer: PreTrainedTokenizerBase,
        recipe: Recipe,
        compute: Compute,
        name: str = NAME,
        weights: Mapping[str, str] | None = None,
    ) -> None:
        modules = nn.ModuleDict({"network": network, "text_encoder": text_encoder})
        super().__init__(name, modules, recipe, compute, weights)
        if self.recipe.negative_prompt:
            raise ValueError(f"negative_prompt: got {self.recipe.negative_prompt!r}, {name} was not made for one")
        self._published, self._text_encoder, self._tokenizer = network, text_encoder, tokenizer
        self.trained = network.transformer
        self.sample_rate_hz = network.autoencoder.sampling_rate
        self.longest_s = min(CARDS[NAME].longest_s, self._window / self.sample_rate_hz)

    @property
    def _window(self) -> int:
        """Samples that its latents are of, whatever the duration of the clip that starts them."""
        return self._published.transformer.sample_size * self._published.autoencoder.hop_length

    def latent_shape(self, duration_s: float) -> tuple[int, ...]:
        """Channels and latents; for `pingpong` as often as it has steps."""
        transformer = self._published.transformer
        shape = (transformer.out_channels, transformer.sample_size)
        return (self.recipe.steps, *shape) if self.recipe.sampler == "pingpong" else shape

    def encode(self, waves: Waves, sample_rate_hz: int) -> Examples:
        """Mean latents of clips and the silence after them, and their duration; see `TrainableGenerator`.

        Raises:
            ValueError: More than two channels, or clips that are too long.
        """
        return as_examples(self._published.autoencoder, waves, sample_rate_hz, self._window, self._exact)

    def loss(self, examples: Examples, prompts: Sequence[str], draws: torch.Generator) -> Float[Tensor, ""]:
        """Flow matching at the times that the configuration trains at, some examples without their prompt.

        Raises:
            ValueError: As many prompts as examples were not given, or it was trained at times that are not known here.
        """
        data, seconds = from_examples(examples.to(self.compute.device))
        training, count = self._published.learned, len(data)
        draw_times = TIMES[one_of("training.timestep_sampler", training.times, TIMES)]
        told = [self._condition(*each) for each in zip(prompts, seconds.tolist(), strict=True)]
        tokens, duration = (torch.stack([each[side][-1] for each in told]) for side in (0, 1))
        times = draw_times(count, draws)
        times = times if training.shift is None else training.shift(times, data.shape[2])
        noise = torch.randn(data.shape, generator=draws)
        kept = torch.rand(count, 1, 1, generator=draws) >= training.dropout

        def velocity(latents: Tensor, times: Tensor) -> Tensor:
            return self._network(latents, times, tokens * kept.to(tokens), duration).to(latents.dtype)

        with self.compute.running():
            return flow_matching_loss(velocity, data, noise.to(data), times.to(data))

    def _encode(self, prompt: str, duration_s: float) -> Told:
        states, own = t5_states(self._text_encoder, self._tokenizer, prompt, self._published.prompt_tokens, padded=True)
        duration = self._published.duration(torch.tensor([duration_s], device=states.device))
        tokens = torch.cat([states * own[:, None], duration[0]])
        if self.recipe.guidance == 1:
            return Told(tokens[None], duration)
        return Told(torch.stack([torch.zeros_like(tokens), tokens]), duration.expand(2, -1, -1))

    def _sample(self, noise: Noise, conditions: Sequence[Told]) -> Tensor:
        told = [torch.stack(part, dim=1) for part in zip(*conditions, strict=True)]
        sampler, times = SAMPLERS[self.recipe.sampler], sampling_times(self.recipe.steps)
        return sampler(self._guided(self._network, told), noise, times.to(noise))

    def _network(self, latents: Tensor, times: Tensor, tokens: Tensor, duration: Tensor) -> Tensor:
        transformer = self._published.transformer
        cosine, sine = rotation(transformer.config["attention_head_dim"], 1 + latents.shape[2])
        return transformer(
            latents,
            times,
            encoder_hidden_states=tokens,
            global_hidden_states=duration,
            rotary_embedding=(cosine.to(latents.device), sine.to(latents.device)),
            return_dict=False,
        )[0]

    def _decode(self, latents: Tensor, samples: int) -> Waves:
        return decode_first(self._published.autoencoder, latents, samples, self._exact)


def load(folder: Path, recipe: Recipe, compute: Compute, name: str) -> StableAudioSmall:
    """Loads Stable Audio Open small from a local folder in the layout of its publication.

    Beside the files of its repository, `t5-base/` holds google-t5/t5-base: configuration, weights and tokenizer.

    Raises:
        ValueError: Something is missing or is not what it should be.
    """
    network = Network(read_object(folder / "model_config.json", MAX_CONFIG_BYTES))
    weights = folder / "model.safetensors"
    published = read_state(weights if weights.is_file() else folder / "model.ckpt")
    strides = len(network.autoencoder.downsampling_ratios)
    frequencies = rotary_frequencies(network.transformer.config["attention_head_dim"])
    load_strictly(network, library_state(published, strides, frequencies), "Stable Audio Open small")
    text_encoder = load_pretrained(T5EncoderModel, folder / TEXT_ENCODER)
    tokenizer = load_tokenizer(T5Tokenizer, folder / TEXT_ENCODER)
    return StableAudioSmall(network, text_encoder, tokenizer, recipe, compute, name, {"sha256": digest_of(folder)})
