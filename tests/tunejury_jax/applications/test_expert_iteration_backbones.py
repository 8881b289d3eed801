"""Expert iteration on backbones of the published classes: a tiny TangoFlux gets better by the reward and not by chance;
a tiny MusicGen learns the tokens that were selected."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel
from transformers import T5Config

from feature_export.audio import SignalPath, Waveform
from feature_export.encoders import load_stack
from feature_export.encoders.compute import Compute
from tests.tiny_generators import musicgen, tangoflux
from tests.tiny_generators.tokenizers import t5_tokenizer
from tunejury_jax.applications.expert_iteration.fine_tuning import FineTuning, fine_tune
from tunejury_jax.applications.expert_iteration.rounds import Expert, Plan
from tunejury_jax.applications.expert_iteration.selection import Selection
from tunejury_jax.applications.expert_iteration.trainer import InProcess
from tunejury_jax.applications.generators.musicgen import RECIPES as MUSICGEN_RECIPES
from tunejury_jax.applications.generators.musicgen import MusicGen
from tunejury_jax.applications.generators.oobleck import new_autoencoder
from tunejury_jax.applications.generators.tangoflux import RECIPES, Flow, Sizes, TangoFlux
from tunejury_jax.applications.prompts import Prompt
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.scorer import Scorer
from tunejury_jax.state_dict import expected_shapes, from_state_dict

RATE_HZ, STRIDES, LATENTS = 16_000, [2, 4, 10, 10], 20
"""Clips of one second; shorter ones would be padded with silence, which is learnt too."""

HALF = 32
PROMPTS = [Prompt(str(number), f"prompt {number}") for number in range(20)]
RATE = 1e-3
PLAN = Plan(
    candidates=6,
    selection=Selection(0.25),
    tuning=FineTuning(learning_rate=RATE, iterations=100, batch_size=16, average=0.95, save_every=100),
    duration_s=1.0,
)


class EachPromptItsClip(TangoFlux):
    """So tiny a network hardly hears the prompt; here a prompt has noise of its own, as if it were heard."""

    def generate(self, prompts, seeds, duration_s):
        own = [seed + zlib.crc32(prompt.encode()) for prompt, seed in zip(prompts, seeds, strict=True)]
        return super().generate(prompts, own, duration_s)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A tiny TangoFlux that makes clips of latents of all levels, and a scorer that likes the high ones."""
    generator = _tiny_tangoflux()
    draws = torch.Generator().manual_seed(0)
    levels = torch.linspace(2, -2, 2 * HALF)[:, None, None]
    latents = levels + 0.3 * torch.randn(len(levels), 2, LATENTS, generator=draws)
    with torch.no_grad():
        waves = generator._decode(latents, RATE_HZ)
        _let_encoder_undo_decoder(generator._autoencoder, waves, latents)
    how = replace(PLAN.tuning, learning_rate=2e-3, iterations=250, save_every=250)
    folder = tmp_path_factory.mktemp("training")
    trained = fine_tune(generator, generator.encode(waves, RATE_HZ), _texts(len(waves)), how, folder)
    generator.trained.load_state_dict(trained)
    return generator, _liking(waves[:HALF], waves[HALF:])


def _tiny_tangoflux():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {**tangoflux.CONFIG, "audio_seq_len": LATENTS, "max_duration": 1}
        flow = Flow(Sizes(**{name: sizes[name] for name in vars(Sizes())}), T5Config(**tangoflux.T5))
        autoencoder = new_autoencoder(
            encoder_hidden_size=4,
            decoder_channels=4,
            decoder_input_channels=2,
            downsampling_ratios=STRIDES,
            channel_multiples=[1, 2, 4, 8],
            sampling_rate=RATE_HZ,
        )
    return EachPromptItsClip(flow, autoencoder, t5_tokenizer(), RECIPES["paper"], Compute())


def _texts(count):
    return [f"high quality instrumental music, {PROMPTS[number % len(PROMPTS)].text}" for number in range(count)]


def _let_encoder_undo_decoder(autoencoder, waves, latents):
    """Fits the last layer of the random encoder by least squares: only then is what is learnt what was heard."""
    encoder, hidden = autoencoder.encoder, []
    hook = encoder.conv2.register_forward_pre_hook(lambda _, given: hidden.append(given[0]))
    for wave in waves.split(1):
        encoder(wave)
    hook.remove()
    wanted = latents.transpose(1, 2).reshape(-1, 2).double()
    seen = torch.nn.functional.unfold(torch.cat(hidden)[:, :, None], (1, 3), padding=(0, 1)).transpose(1, 2)
    seen = torch.nn.functional.pad(seen.reshape(len(wanted), -1), (0, 1), value=1.0).double()
    ridge = 1e-6 * seen.square().sum() * torch.eye(seen.shape[1])
    solved = torch.linalg.solve(seen.T @ seen + ridge, seen.T @ wanted).float()
    weight = torch.full((4, *encoder.conv2.weight_v.shape[1:]), 1e-3)
    weight[:2] = solved[:-1].T.reshape(weight[:2].shape)
    encoder.conv2.weight_v.copy_(weight)
    encoder.conv2.weight_g.copy_(weight.flatten(1).norm(dim=1)[:, None, None])
    encoder.conv2.bias.zero_()[:2] = solved[-1]


def _liking(*waves):
    """Fisher's direction from the second clips to the first, whose mean rewards are 1 apart, as a head of two units."""
    stack = load_stack(["mel"], SignalPath())
    liked, other = (
        np.stack([stack.audio[0].embed(Waveform(wave, RATE_HZ)).numpy() for wave in each]) for each in waves
    )
    direction = (liked.mean(0) - other.mean(0)) / (liked.var(0) + other.var(0) + 0.1)
    direction /= (liked.mean(0) - other.mean(0)) @ direction
    config = HeadConfig(stack.layout.dim, (2,))
    state = {name: np.zeros(shape, np.float32) for name, shape in expected_shapes(config).items()}
    state["net.1.weight"][:] = state["net.1.running_var"][:] = 1
    state["net.0.weight"][:, : len(direction)] = direction, -direction
    middle = (liked.mean(0) + other.mean(0)) @ direction / 2
    state["net.0.bias"][:] = -middle, middle
    state["net.4.weight"][:] = 1, -1
    encoders = {name: stack.provenance()[name] for name in stack.layout.names}
    return Scorer(Checkpoint(config, stack.layout, encoders, from_state_dict(state, config)), stack)


@pytest.mark.slow(reason="trains a tiny TangoFlux three times, half a minute")
def test_a_backbone_gets_better_by_the_reward_and_not_by_chance(tmp_path, mixed):
    """Judged on 20 held-out clips, from the same noise before and after: Student's t of the pairs.

    The best quarter of 120 normal rewards lies 1.27 deviations above their mean; 30 drawn at random are off by
    1 / sqrt(30) = 0.18 of them.
    """
    before, best = _rewards(*mixed, tmp_path / "reward", "reward")
    same, drawn = _rewards(*mixed, tmp_path / "chance", "chance")
    assert np.array_equal(before, same)
    assert ttest_rel(best, before, alternative="greater").pvalue < 0.001
    assert ttest_rel(drawn, before, alternative="greater").pvalue > 0.05
    assert ttest_rel(best, drawn, alternative="greater").pvalue < 0.001


def _rewards(generator, scorer, out, by):
    plan = replace(PLAN, selection=replace(PLAN.selection, by=by))
    for judged in Expert(InProcess(generator), scorer, PROMPTS, plan, out).run([RATE]):
        yield np.array([clip.reward for clip in judged.clips], np.float64)


def test_musicgen_learns_the_tokens_that_were_selected(tmp_path):
    backbone = MusicGen(musicgen.build(), t5_tokenizer(), MUSICGEN_RECIPES["own"], Compute())
    prompts = ["calm piano", "fast drums"]
    before = backbone.generate(prompts, [1, 2], 0.2)
    selected = backbone.generate(prompts, [3, 4], 0.2)
    tokens = backbone.encode(selected, backbone.sample_rate_hz)
    how = FineTuning(learning_rate=0.01, iterations=30, batch_size=2, average=0.5, save_every=30)
    losses = [_loss(backbone, tokens, prompts)]
    learnt = fine_tune(backbone, tokens, prompts, how, tmp_path)
    assert torch.equal(backbone.generate(prompts, [1, 2], 0.2), before)
    backbone.trained.load_state_dict(learnt)
    losses.append(_loss(backbone, tokens, prompts))
    assert losses[1] < 0.7 * losses[0]
    assert not torch.equal(backbone.generate(prompts, [1, 2], 0.2), before)


@torch.no_grad()
def _loss(backbone, tokens, prompts):
    return float(backbone.loss(tokens, prompts, torch.Generator().manual_seed(0)))
