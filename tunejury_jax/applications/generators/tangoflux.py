r"""TangoFlux: rectified flow on latents of 30 s of stereo, told of a prompt and of a duration.

Put together from modules of diffusers and transformers, by the names of the published weights. A clip is the start of
the 30 s. The network hears the prompt's T5 states and, as one more token, the duration; their mean over the prompt
modulates its layers. Guidance leads away from the empty prompt, padded to as many tokens as the prompt has; this
padding is heard, as in the published sampler, which makes one clip at a time. Here prompts of one batch are padded
further, and that padding is masked, so that a clip does not depend on its batch.

Sources: Hung et al., arXiv 2412.21037; github.com/declare-lab/TangoFlux, `tangoflux/model.py` and `train.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers import AutoencoderOobleck, FluxTransformer2DModel
from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioNumberConditioner
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase, T5Config, T5EncoderModel, T5Tokenizer

from feature_export.encoders.compute import Compute
from feature_export.encoders.state_file import load_strictly, read_state
from tunejury_jax.applications.generators.cards import CARDS
from tunejury_jax.applications.generators.denoising import Denoiser, Noise
from tunejury_jax.applications.generators.loading import digest_of, load_tokenizer
from tunejury_jax.applications.generators.oobleck import (
    Examples,
    as_examples,
    decode_first,
    from_examples,
    new_autoencoder,
)
from tunejury_jax.applications.generators.protocol import Waves
from tunejury_jax.applications.generators.recipes import Recipe
from tunejury_jax.applications.generators.rectified_flow import euler, flow_matching_loss
from tunejury_jax.applications.generators.t5_prompts import t5_states
from tunejury_jax.documents import read_object

__all__ = ["RECIPES", "Flow", "Sizes", "TangoFlux", "load"]

NAME = "tangoflux"
RECIPES = CARDS[NAME].recipes
TEXT_ENCODER = "flan-t5-large"
PROMPT_TOKENS = 512
TRAINING_STEPS = 1000
"""Times are multiples of a thousandth in training."""
MAX_CONFIG_BYTES = 1 << 16
LARGEST = 1 << 14
"""Of any size in a configuration."""


@dataclass(frozen=True)
class Sizes:
    """Those of `config.json`, as published unless it says otherwise.

    Raises:
        ValueError: One is not a positive whole number, or is too large.
    """

    num_layers: int = 6
    num_single_layers: int = 18
    in_channels: int = 64
    attention_head_dim: int = 128
    joint_attention_dim: int = 1024
    num_attention_heads: int = 8
    audio_seq_len: int = 645
    max_duration: int = 30

    def __post_init__(self) -> None:
        for name, size in vars(self).items():
            if type(size) is not int or not 0 < size <= LARGEST:
                raise ValueError(f"{name}: got {size!r}, accepted are whole numbers from 1 to {LARGEST}")

    @classmethod
    def read(cls, path: Path) -> "Sizes":
        """Reads them; other keys are of training, or name the text encoder."""
        document = read_object(path, MAX_CONFIG_BYTES)
        return cls(**{field.name: document[field.name] for field in fields(cls) if field.name in document})


class Flow(nn.Module):
    """What `tangoflux.safetensors` holds, by its names, of which one is misspelt there.

    Args:
        sizes: Of its modules.
        text: Of its text encoder.

    Raises:
        ValueError: The text encoder does not go with the sizes.
    """

    def __init__(self, sizes: Sizes, text: T5Config) -> None:
        super().__init__()
        width = sizes.joint_attention_dim
        if text.d_model != width:
            raise ValueError(f"joint_attention_dim: got {width}, the text encoder has {text.d_model}")
        self.sizes = sizes
        self.text_encoder = T5EncoderModel(text)
        self.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.duration_emebdder = StableAudioNumberConditioner(width, 0, sizes.max_duration)
        self.transformer = FluxTransformer2DModel(
            in_channels=sizes.in_channels,
            num_layers=sizes.num_layers,
            num_single_layers=sizes.num_single_layers,
            attention_head_dim=sizes.attention_head_dim,
            num_attention_heads=sizes.num_attention_heads,
            joint_attention_dim=width,
            pooled_projection_dim=width,
            guidance_embeds=False,
        )


class Told(NamedTuple):
    """What is read of a prompt: of the negative one, then of the prompt; of that only without guidance."""

    states: Float[Tensor, "sides tokens dim"]
    own: Bool[Tensor, "sides tokens"]
    seconds: float


class TangoFlux(Denoiser[Told]):
    """Makes clips, and learns from clips; see `DifferentiableGenerator` and `TrainableGenerator`.

    Args:
        flow: The published network.
        autoencoder: Of its latents.
        tokenizer: Of its prompts.
        recipe: How it samples.
        compute: Where and how its networks run.
        name: Of the backbone.
        weights: What says which weights it has.

    Raises:
        ValueError: The recipe is not one of noise, or has another sampler.
    """

    samplers = ("euler",)

    def __init__(
        self,
        flow: Flow,
        autoencoder: AutoencoderOobleck,
        tokenizer: PreTrainedTokenizerBase,
        recipe: Recipe,
        compute: Compute,
        name: str = NAME,
        weights: Mapping[str, str] | None = None,
    ) -> None:
        network = nn.ModuleDict({"flow": flow, "autoencoder": autoencoder})
        super().__init__(name, network, recipe, compute, weights)
        self.trained = nn.ModuleDict({"transformer": flow.transformer, "fc": flow.fc})
        self.sample_rate_hz = autoencoder.sampling_rate
        self._flow, self._autoencoder, self._tokenizer = flow, autoencoder, tokenizer
        latents_s = flow.sizes.audio_seq_len * autoencoder.hop_length / self.sample_rate_hz
        self.longest_s = min(flow.sizes.max_duration, latents_s)

    def latent_shape(self, duration_s: float) -> tuple[int, int]:
        """Latents and channels, whatever the duration."""
        return self._flow.sizes.audio_seq_len, self._flow.sizes.in_channels

    def encode(self, waves: Waves, sample_rate_hz: int) -> Examples:
        """Mean latents of clips and the silence after them, and their duration; see `TrainableGenerator`.

        Raises:
            ValueError: More than two channels, or clips that are too long.
        """
        samples = self._flow.sizes.max_duration * self.sample_rate_hz
        return as_examples(self._autoencoder, waves, sample_rate_hz, samples, self._exact)

    def loss(self, examples: Examples, prompts: Sequence[str], draws: torch.Generator) -> Float[Tensor, ""]:
        r"""Flow matching at times $1 - \lfloor 1000\,\sigma(n) \rfloor / 1000$ with normal $n$, every prompt heard.

        Raises:
            ValueError: As many prompts as examples were not given.
        """
        latents, seconds = from_examples(examples.to(self.compute.device))
        told = self._heard([self._condition(*each) for each in zip(prompts, seconds.tolist(), strict=True)])
        data, prompted = latents.transpose(1, 2), [part[-1] for part in told]
        normal = torch.randn(len(data), generator=draws)
        times = 1 - torch.floor(TRAINING_STEPS * normal.sigmoid()) / TRAINING_STEPS
        noise = torch.randn(data.shape, generator=draws)

        def velocity(latents: Tensor, times: Tensor) -> Tensor:
            return self._network(latents, times, *prompted).to(latents.dtype)

        with self.compute.running():
            return flow_matching_loss(velocity, data, noise.to(data), times.to(data))

    def _encode(self, prompt: str, duration_s: float) -> Told:
        encoder = self._flow.text_encoder
        states, own = t5_states(encoder, self._tokenizer, prompt, PROMPT_TOKENS)
        if self.recipe.guidance == 1:
            return Told(states[None], own[None], duration_s)
        away, real = t5_states(encoder, self._tokenizer, self.recipe.negative_prompt, len(states), padded=True)
        return Told(torch.stack([away, states]), torch.stack([real, own]), duration_s)

    def _sample(self, noise: Noise, conditions: Sequence[Told]) -> Tensor:
        times = torch.linspace(1, 0, self.recipe.steps + 1)
        latents = euler(self._guided(self._network, self._heard(conditions)), noise, times.to(noise))
        return latents.transpose(1, 2)

    def _heard(self, conditions: Sequence[Told]) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, which of them are heard, and the mean state of each prompt; of sides and a batch each."""
        durations = self._flow.duration_emebdder(
            torch.tensor([told.seconds for told in conditions]).to(self.compute.device)
        )
        tokens, heard, means = [], [], []
        for (states, own, _), duration in zip(conditions, durations, strict=True):
            row = torch.cat([states, duration.expand(len(states), 1, -1)], dim=1).transpose(0, 1)
            tokens.append(row)
            heard.append(torch.ones_like(row[..., 0], dtype=torch.bool))
            means.append((states * own[..., None]).sum(1) / own.sum(1, keepdim=True))
        padded = pad_sequence(tokens, batch_first=True).permute(2, 0, 1, 3)
        return padded, pad_sequence(heard, batch_first=True).permute(2, 0, 1), self._flow.fc(torch.stack(means, dim=1))

    def _network(self, latents: Tensor, times: Tensor, tokens: Tensor, heard: Tensor, pooled: Tensor) -> Tensor:
        places = torch.arange(latents.shape[1], device=latents.device)[:, None].expand(-1, 3)
        every = torch.cat([heard, heard.new_ones(latents.shape[:2])], dim=1)[:, None, None]
        return self._flow.transformer(
            hidden_states=latents,
            timestep=times,
            encoder_hidden_states=tokens,
            pooled_projections=pooled,
            img_ids=places,
            txt_ids=places.new_zeros(tokens.shape[1], 3),
            joint_attention_kwargs=None if heard.all() else {"attention_mask": every},
        ).sample

    def _decode(self, latents: Tensor, samples: int) -> Waves:
        return decode_first(self._autoencoder, latents, samples, self._exact)


def load(folder: Path, recipe: Recipe, compute: Compute, name: str) -> TangoFlux:
    """Loads TangoFlux from a local folder in the layout of its publication.

    Beside the files of its repository, `flan-t5-large/` holds configuration and tokenizer of google/flan-t5-large; the
    weights of the text encoder are among those of TangoFlux.

    Raises:
        ValueError: Something is missing or is not what it should be.
    """
    sizes = Sizes.read(folder / "config.json")
    tokenizer = load_tokenizer(T5Tokenizer, folder / TEXT_ENCODER)
    flow = Flow(sizes, T5Config(**read_object(folder / TEXT_ENCODER / "config.json", MAX_CONFIG_BYTES)))
    load_strictly(flow, _untied(read_state(folder / "tangoflux.safetensors")), "TangoFlux")
    # The file does not say its sizes. They are those of the library, whose widths are twice the latents' channels.
    channels = sizes.in_channels
    autoencoder = new_autoencoder(
        encoder_hidden_size=2 * channels, decoder_channels=2 * channels, decoder_input_channels=channels
    )
    load_strictly(autoencoder, read_state(folder / "vae.safetensors"), "TangoFlux's autoencoder")
    return TangoFlux(flow, autoencoder, tokenizer, recipe, compute, name, {"sha256": digest_of(folder)})


def _untied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The text encoder's embeddings lie under one of their two names in the file."""
    shared = state.get("text_encoder.shared.weight")
    return {**state} if shared is None else {**state, "text_encoder.encoder.embed_tokens.weight": shared}
