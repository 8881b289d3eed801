"""Rewards of waveforms: the Scorer's scores, with gradients to every sample of every clip."""

import itertools

import numpy as np
import pytest
import torch
from closeness import assert_close
from random_ensembles import random_ensemble
from random_heads import random_checkpoint
from torch_twin import Twin

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax.bridge.differentiable import DifferentiableScorer, DifferentiableStack
from tunejury_jax.scorer import Scorer
from tunejury_jax.state_dict import to_state_dict

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def mel():
    return load_stack(["mel"], SignalPath())


@pytest.fixture(scope="module")
def facts(mel):
    return {"encoders": {name: mel.provenance()[name] for name in mel.layout.names}, "blocks": mel.layout.names}


@pytest.fixture(scope="module")
def head(facts):
    return random_checkpoint(**facts)


@pytest.fixture(scope="module")
def scorer(head, mel):
    return DifferentiableScorer(head, mel)


def clips(count=2, seconds=0.3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return (0.2 * torch.randn(count, int(seconds * RATE_HZ), generator=generator, dtype=torch.float64)).to(dtype)


def test_a_stack_of_encoders_is_what_it_takes(mel):
    assert isinstance(mel, DifferentiableStack)


@pytest.mark.parametrize("conservative", [0.0, 0.6])
def test_scores_are_the_scorers(facts, mel, conservative):
    combined = random_ensemble(3, **facts)
    samples, prompts = clips(3), ["warm piano", "", "drums"]
    found = DifferentiableScorer(combined, mel, conservative)(samples, RATE_HZ, prompts)
    plain = Scorer(combined, mel, conservative)
    expected = [plain.score(clip.numpy(), RATE_HZ, text) for clip, text in zip(samples, prompts, strict=True)]
    assert_close(found, np.array(expected), 1e-5)


def test_gradients_are_those_of_finite_differences(scorer):
    samples = clips(2, 0.15, torch.float64)
    direction, step = torch.randn_like(samples), 1e-6
    weights = torch.tensor([1.0, -2.0], dtype=torch.float64)

    def total(samples):
        return (scorer(samples, RATE_HZ, ["warm piano", ""]) * weights).sum()

    leaf = samples.requires_grad_()
    slope = (torch.autograd.grad(total(leaf), leaf)[0] * direction).sum()
    with torch.no_grad():
        measured = (total(samples + step * direction) - total(samples - step * direction)) / (2 * step)
    assert float(slope) == pytest.approx(float(measured), rel=1e-5)
    assert abs(float(slope)) > 1e-3


def test_gradients_are_those_of_the_twin_head_on_the_same_features(scorer, head, mel):
    samples = clips(2).requires_grad_()
    twin = Twin(head.layout.dim, head.head.widths).take(to_state_dict(head.variables)).eval()
    prompt = torch.from_numpy(mel.embed_prompt("warm piano")["ngram_baseline"])
    clip_features = [mel.embed_samples(clip[None], RATE_HZ)["mel_baseline"] for clip in samples]
    expected = twin(torch.stack([torch.cat([row, prompt]) for row in clip_features]))
    found = scorer(samples, RATE_HZ, "warm piano")
    weights = torch.tensor([1.0, -2.0])
    gradients = [torch.autograd.grad(scores, samples, weights)[0] for scores in (found, expected)]
    assert_close(gradients[0], gradients[1], 1e-6 * max(1.0, float(gradients[1].abs().max())))


def test_every_clip_counts_and_only_for_itself(scorer):
    samples = clips(3).requires_grad_()
    found = scorer(samples, RATE_HZ)
    assert len(set(found.tolist())) == 3
    (gradient,) = torch.autograd.grad(found[1], samples)
    assert gradient[1].abs().max() > 0
    assert gradient[[0, 2]].count_nonzero() == 0


def test_recomputing_changes_nothing_and_keeps_less(head, mel, scorer):
    samples = clips(2).requires_grad_()

    def run(scored):
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
            found = scored(samples, RATE_HZ, "warm piano")
        return found, torch.autograd.grad(found.sum(), samples)[0], sum(kept)

    plain, again = run(scorer), run(DifferentiableScorer(head, mel, recompute=True))
    assert torch.equal(again[0], plain[0])
    assert torch.equal(again[1], plain[1])
    assert again[2] < plain[2] / 5


def test_a_longer_clip_is_scored_by_its_middle(head, mel, scorer):
    samples = clips(1, 0.5).requires_grad_()
    short = DifferentiableScorer(head, mel, max_duration_s=0.2)
    found = short(samples, RATE_HZ)
    assert_close(found.detach(), scorer(samples[:, 2400:5600], RATE_HZ).detach(), 1e-7)
    (gradient,) = torch.autograd.grad(found.sum(), samples)
    assert gradient[0, :2400].count_nonzero() == gradient[0, 5600:].count_nonzero() == 0
    assert_close(short(samples[:, :3000], RATE_HZ).detach(), scorer(samples[:, :3000], RATE_HZ).detach(), 1e-7)


class Counting:
    """A stack that notes the prompts it is asked for."""

    def __init__(self, stack):
        self.stack, self.prompts = stack, []

    def provenance(self):
        return self.stack.provenance()

    def embed_samples(self, samples, sample_rate_hz):
        return self.stack.embed_samples(samples, sample_rate_hz)

    def embed_prompt(self, text):
        self.prompts.append(text)
        return self.stack.embed_prompt(text)


def test_a_prompt_is_embedded_once(head, mel):
    stack = Counting(mel)
    scored = DifferentiableScorer(head, stack)
    for prompts in ("calm", ["calm", "loud"], ["loud", "calm"]):
        scored(clips(), RATE_HZ, prompts)
    assert stack.prompts == ["calm", "loud"]


def test_steps_along_the_gradient_raise_the_reward(scorer):
    samples = clips(2)
    rewards = []
    for _ in range(4):
        leaf = samples.requires_grad_()
        found = scorer(leaf, RATE_HZ, "warm piano")
        rewards.append(found.detach())
        (gradient,) = torch.autograd.grad(found.sum(), leaf)
        samples = (leaf + 1e-4 * gradient / gradient.norm(dim=1, keepdim=True)).detach()
    assert all((later > earlier).all() for earlier, later in itertools.pairwise(rewards))


def test_no_clips_have_no_rewards(scorer):
    assert scorer(torch.zeros(0, 100), RATE_HZ).shape == (0,)


def test_other_encoders_are_refused(head):
    other = load_stack(["mel"], SignalPath(train16k=True))
    with pytest.raises(ValueError, match="encoder stack: block 'mel_baseline' was made otherwise"):
        DifferentiableScorer(head, other)


@pytest.mark.parametrize("max_duration_s", [0.0, -1.0, float("nan")])
def test_a_length_that_is_none_is_refused(head, mel, max_duration_s):
    with pytest.raises(ValueError, match=f"max_duration_s: got {max_duration_s}, accepted are positive numbers"):
        DifferentiableScorer(head, mel, max_duration_s=max_duration_s)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(100), RATE_HZ), r"samples: got shape \(100,\), expected \(batch, samples\)"),
        ((torch.zeros(2, 0), RATE_HZ), r"samples: got shape \(2, 0\), expected \(batch, samples\)"),
        ((torch.zeros(2, 1, 100), RATE_HZ), "samples: got shape"),
        ((torch.zeros(2, 100, dtype=torch.int16), RATE_HZ), r"samples: got torch\.int16, expected torch\.float32 or"),
        ((torch.zeros(2, 100), 0), "sample_rate_hz: expected a positive sampling rate in whole Hz, got 0"),
        ((torch.zeros(2, 100), 16_000.0), "sample_rate_hz: expected a positive .*, got 16000.0"),
        ((torch.zeros(2, 100), "16000"), "sample_rate_hz: expected a positive .*, got '16000'"),
        ((torch.zeros(2, 100), True), "sample_rate_hz: expected a positive .*, got True"),
        ((torch.zeros(2, 100), RATE_HZ, ["calm"]), "prompts: got 1 for 2 clips, expected one for all or one each"),
        ((torch.full((2, 999), torch.nan), RATE_HZ), "samples: the features of clip 0 are not finite"),
    ],
    ids=["row", "empty", "channels", "int16", "rate", "float rate", "text rate", "flag", "prompts", "not a number"],
)
def test_unusable_input_is_refused(scorer, untyped, arguments, message):
    with pytest.raises(ValueError, match=message):
        scorer(*arguments)
