r"""MusicGen: a transformer that draws EnCodec's tokens one frame at a time, guided by a prompt.

EnCodec turns a clip into $K$ rows of tokens $x_{k, t}$, 50 a second. Row $k$ comes $k$ frames late, so that the tokens
of one frame are drawn one after another while a step draws one token of every row:

$$ y_{k, s} = x_{k, s-k} \text{ where } k \le s < k + T, \text{ else padding.} $$

A step adds guidance $g$ to the logits without and with the prompt, $\ell = \ell_0 + g (\ell_p - \ell_0)$, and draws
from the likeliest tokens. Sources: Copet et al., arXiv 2306.05284; transformers' Musicgen, whose own `generate` draws
a batch from one stream of random numbers. Here every clip has a stream of its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoTokenizer, MusicgenForConditionalGeneration, PreTrainedTokenizerBase

from feature_export.encoders.compute import Compute
from feature_export.resample import resample
from tunejury_jax.applications.generators.cards import CARDS
from tunejury_jax.applications.generators.loading import digest_of, load_pretrained, load_tokenizer
from tunejury_jax.applications.generators.protocol import Waves
from tunejury_jax.applications.generators.provenance import describe
from tunejury_jax.applications.generators.recipes import Recipe, TokenRecipe
from tunejury_jax.applications.generators.requests import check_request, sample_count

__all__ = ["RECIPES", "MusicGen", "load"]

RECIPES = CARDS["musicgen-medium"].recipes
LONGEST_S = CARDS["musicgen-medium"].longest_s

PROMPT_DROPOUT = 0.2
"""Share of the examples that are learned without their prompt, as MusicGen was, so that guidance keeps working."""


def load(folder: Path, recipe: Recipe, compute: Compute, name: str) -> "MusicGen":
    """Loads a published MusicGen.

    Raises:
        ValueError: The folder does not hold one, or the recipe is not one of tokens.
    """
    model = load_pretrained(MusicgenForConditionalGeneration, folder)
    tokenizer = load_tokenizer(AutoTokenizer, folder)
    return MusicGen(model, tokenizer, recipe, compute, name, {"sha256": digest_of(folder)})


class MusicGen:
    """Draws clips, and learns from clips; see the protocols `Generator` and `TrainableGenerator`.

    Args:
        model: A `MusicgenForConditionalGeneration`, mono, in evaluation mode.
        tokenizer: Of its prompts.
        recipe: How tokens are drawn.
        compute: Where; under autocast EnCodec and the prompts still run in float32.
        name: Of the backbone.
        weights: What says which weights it has.

    Raises:
        ValueError: Another kind of recipe, or a model that is not mono.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        recipe: Recipe,
        compute: Compute,
        name: str = "musicgen",
        weights: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(recipe, TokenRecipe):
            raise ValueError(f"recipe: {name} draws tokens, got {recipe}")
        if model.decoder.config.audio_channels != 1:
            raise ValueError(f"weights: {name} makes {model.decoder.config.audio_channels} channels, expected one")
        self.name = name
        self.recipe = recipe
        self.compute = compute
        self.weights = dict(weights or {})
        self.sample_rate_hz: int = model.config.audio_encoder.sampling_rate
        self._exact = replace(compute, autocast=False)
        self._model = model.to(compute.device)
        self._decoder = self._model.decoder
        self._tokenizer = tokenizer

    @property
    def trained(self) -> nn.Module:
        """The transformer over tokens; EnCodec, T5 and the projection of its states stay frozen."""
        return self._decoder

    def provenance(self) -> Mapping[str, Any]:
        return describe(self.name, self.weights, self.recipe, self.compute)

    @torch.no_grad()
    def generate(self, prompts: Sequence[str], seeds: Sequence[int], duration_s: float) -> Waves:
        """One clip a prompt; see `Generator`.

        A token is one of many, so rounding that moves a probability rarely moves a token, but where it does the clip
        goes on as another one. Batches of another size round differently; under autocast much more so.
        """
        check_request(prompts, seeds, duration_s, LONGEST_S)
        samples = sample_count(duration_s, self.sample_rate_hz)
        tokens = self._draw(prompts, seeds, math.ceil(samples / self._model.config.audio_encoder.hop_length))
        with self._exact.running():
            waves = self._model.audio_encoder.decode(tokens[None], audio_scales=[None]).audio_values
        return waves[..., :samples].float().cpu()

    @torch.no_grad()
    def encode(self, waves: Waves, sample_rate_hz: int) -> Int[Tensor, "batch codebooks frames"]:
        """Clips as EnCodec's tokens, on the CPU; see `TrainableGenerator`."""
        mono = resample(waves.mean(dim=1, keepdim=True), sample_rate_hz, self.sample_rate_hz)
        with self._exact.running():
            return self._model.audio_encoder.encode(mono.to(self.compute.device)).audio_codes[0].cpu()

    def loss(
        self, examples: Int[Tensor, "batch codebooks frames"], prompts: Sequence[str], draws: torch.Generator
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy of the tokens, first over frames and then over rows; padding does not count.

        In training mode the transformer drops out units as it was published to, by `draws` too.
        """
        dropped = torch.rand(len(prompts), generator=draws, device=draws.device) < PROMPT_DROPOUT
        kept = ["" if drop else prompt for prompt, drop in zip(prompts, dropped.tolist(), strict=True)]
        states, mask = self._conditions(kept)
        late = _delay(examples.to(self.compute.device), self._padding).transpose(1, 2)
        devices = [self.compute.device] if self.compute.device.startswith("cuda") else []
        with torch.random.fork_rng(devices), self.compute.running():
            torch.manual_seed(int(torch.randint(1 << 62, (), generator=draws, device=draws.device)))
            return self._decoder(labels=late, encoder_hidden_states=states, encoder_attention_mask=mask).loss

    @property
    def _padding(self) -> int:
        """The token that begins every clip and fills what the delay leaves empty."""
        return self._decoder.config.pad_token_id

    @torch.no_grad()
    def _conditions(
        self, prompts: Sequence[str]
    ) -> tuple[Float[Tensor, "batch words width"], Int[Tensor, "batch words"]]:
        """What the prompts say to the transformer, and where they are padded; an empty prompt says nothing."""
        batch = self._tokenizer(list(prompts), padding=True, return_tensors="pt").to(self.compute.device)
        with self._exact.running():
            states = self._model.text_encoder(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
            if states.shape[-1] != self._decoder.config.hidden_size:
                states = self._model.enc_to_dec_proj(states)
        said = torch.tensor([bool(prompt.strip()) for prompt in prompts], device=states.device)
        return states * (batch.attention_mask * said[:, None])[..., None], batch.attention_mask

    def _draw(self, prompts: Sequence[str], seeds: Sequence[int], frames: int) -> Int[Tensor, "batch codebooks frames"]:
        guided = self.recipe.guidance != 1
        states, mask = self._conditions([*prompts, *[""] * len(prompts)] if guided else prompts)
        streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        rows = torch.arange(self._decoder.config.num_codebooks)
        late = [torch.full((len(prompts), len(rows)), self._padding)]
        cache = None
        for step in range(frames + len(rows) - 1):
            tokens = late[-1].repeat(1 + guided, 1).view(-1, 1).to(states.device)
            with self.compute.running():
                output = self._decoder(
                    tokens,
                    encoder_hidden_states=states,
                    encoder_attention_mask=mask,
                    past_key_values=cache,
                    use_cache=True,
                )
            cache = output.past_key_values
            drawn = self._sample(output.logits.view(len(states), len(rows), -1), streams)
            late.append(drawn.where((rows <= step) & (step < rows + frames), self._padding))
        return _undelay(torch.stack(late[1:], dim=2)).to(states.device)

    def _sample(
        self, logits: Float[Tensor, "both codebooks tokens"], streams: Sequence[torch.Generator]
    ) -> Int[Tensor, "batch codebooks"]:
        """One token a row and clip, drawn on the CPU, so that a seed means the same on every device."""
        told, *untold = logits.float().split(len(streams))
        guided = untold[0] + self.recipe.guidance * (told - untold[0]) if untold else told
        warm = guided.cpu() / self.recipe.temperature
        least = warm.topk(min(self.recipe.top_k, warm.shape[-1])).values[..., -1:]
        chances = warm.where(warm >= least, -math.inf).softmax(-1)
        return torch.stack([row.multinomial(1, generator=s)[:, 0] for row, s in zip(chances, streams, strict=True)])


def _delay(tokens: Int[Tensor, "batch rows frames"], padding: int) -> Int[Tensor, "batch rows steps"]:
    """Row k begins k steps late."""
    count = tokens.shape[1]
    rows = [nn.functional.pad(tokens[:, k], (k, count - 1 - k), value=padding) for k in range(count)]
    return torch.stack(rows, dim=1)


def _undelay(late: Int[Tensor, "batch rows steps"]) -> Int[Tensor, "batch rows frames"]:
    count = late.shape[1]
    frames = late.shape[2] - count + 1
    return torch.stack([late[:, k, k : k + frames] for k in range(count)], dim=1)
