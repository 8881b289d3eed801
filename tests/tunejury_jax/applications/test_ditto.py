"""DITTO: noise that climbs to higher rewards, each prompt as it would by itself."""

import math

import pytest
import torch
from closeness import assert_close
from noise_decoder import NoiseDecoder
from random_heads import random_checkpoint
from scipy.stats import chi

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax.applications.ditto.network_digest import digest
from tunejury_jax.applications.ditto.optimisation import Ascent, Climb, climb, norm_penalty, require_differentiable
from tunejury_jax.applications.generators import DifferentiableGenerator, Generator
from tunejury_jax.bridge.differentiable import DifferentiableScorer

DURATION_S = 0.25
PROMPTS = ["calm piano", "loud drums", "strings"]
SEEDS = [42, 142, 242]


@pytest.fixture(scope="module")
def reward():
    stack = load_stack(["mel"], SignalPath())
    provenance = {name: stack.provenance()[name] for name in stack.layout.names}
    return DifferentiableScorer(random_checkpoint(provenance, stack.layout.names), stack)


def climbed(reward, prompts=PROMPTS, seeds=SEEDS, generator=None, **ascent):
    return climb(generator or NoiseDecoder(), reward, prompts, seeds, DURATION_S, Ascent(**ascent))


def test_the_toy_is_a_generator_with_gradients():
    assert isinstance(NoiseDecoder(), DifferentiableGenerator)


def test_rewards_rise_and_weights_stay(reward):
    generator = NoiseDecoder()
    before = digest(generator.network)
    climbs = climbed(reward, generator=generator)
    assert digest(generator.network) == before
    for each in climbs:
        assert each.error is None
        assert len(each.rewards) == len(each.norms) == 6
        assert each.rewards[each.best] == max(each.rewards) > each.rewards[0]
    assert generator.rendered == [3] * 6


def test_a_changed_weight_changes_the_digest():
    network = NoiseDecoder().network
    before = digest(network)
    with torch.no_grad():
        network[0].bias[3] = torch.nextafter(network[0].bias[3], torch.tensor(9.0))
    assert digest(network) != before


def test_the_digest_sees_buffers_and_takes_every_type():
    def of(count):
        network = torch.nn.BatchNorm1d(2).bfloat16()
        network.num_batches_tracked += count
        return digest(network)

    assert of(0) == of(0) != of(1)


def test_iterate_0_is_the_clip_that_the_generator_makes_anyway(reward):
    generator = NoiseDecoder()
    clips = generator.generate(PROMPTS, SEEDS, DURATION_S)
    expected = reward(clips.mean(1), generator.sample_rate_hz, PROMPTS)
    assert_close([each.rewards[0] for each in climbed(reward, generator=generator)], expected.numpy(), 1e-5)


def test_the_best_noise_renders_to_the_best_reward(reward):
    generator = NoiseDecoder()
    climbs = climbed(reward, generator=generator, learning_rate=0.3)
    clips = generator.render(torch.stack([each.best_noise for each in climbs]), PROMPTS, DURATION_S)
    found = reward(clips.mean(1), generator.sample_rate_hz, PROMPTS)
    assert_close(found.numpy(), [max(each.rewards) for each in climbs], 1e-5)


def test_a_prompt_climbs_alone_as_it_does_among_others(reward):
    # In float64: Adam's steps follow the sign of gradients near 0, which rounding to float32 decides.
    exact, ascent = NoiseDecoder(dtype=torch.float64), {"patience": 1, "learning_rate": 0.5}
    together = climbed(reward, generator=exact, **ascent)
    assert len({len(each.rewards) for each in together}) > 1  # they do not end together
    for prompt, seed, each in zip(PROMPTS, SEEDS, together, strict=True):
        (alone,) = climbed(reward, [prompt], [seed], exact, **ascent)
        assert alone.best == each.best
        assert_close(alone.rewards, each.rewards, 1e-9)
        assert_close(alone.best_noise, each.best_noise, 1e-7)


def test_a_learning_rate_of_0_changes_nothing(reward):
    for each, start in zip(
        climbed(reward, learning_rate=0.0), NoiseDecoder().initial_noise(SEEDS, DURATION_S), strict=True
    ):
        assert each.best == 0
        assert each.rewards == each.rewards[:1] * 6
        assert torch.equal(each.noise, start)
        assert torch.equal(each.best_noise, start)


@pytest.mark.parametrize("learning_rate", [0.05, 1.0, 30.0])
def test_the_best_is_never_worse_than_the_beginning(reward, learning_rate):
    for each in climbed(reward, learning_rate=learning_rate, updates=3):
        assert each.error is None
        assert each.rewards[each.best] >= each.rewards[0]


class Identity(NoiseDecoder):
    """The clip is the noise."""

    def initial_noise(self, seeds, duration_s):
        return torch.tensor([[[3.0, -2.0, 0.5]]] * len(seeds))

    def render(self, noise, prompts, duration_s):
        return noise.double()


def square(samples, sample_rate_hz, prompts):
    return -((samples - 1) ** 2).sum(1) / 2


def test_a_step_is_adams_by_hand():
    (each,) = climbed(square, ["x"], [0], Identity(), updates=2, learning_rate=0.05)
    z, mean, variance = torch.tensor([[3.0, -2.0, 0.5]], dtype=torch.float64), 0.0, 0.0
    rewards = [float(square(z, 1, "")[0])]
    for step in (1, 2):
        gradient = z - 1  # of the loss, which is minus the reward
        mean = 0.9 * mean + 0.1 * gradient
        variance = 0.999 * variance + 0.001 * gradient**2
        z = z - 0.05 * (mean / (1 - 0.9**step)) / ((variance / (1 - 0.999**step)).sqrt() + 1e-8)
        rewards.append(float(square(z, 1, "")[0]))
    assert_close(each.rewards, rewards, 1e-6)
    assert_close(each.noise.detach(), z.float(), 1e-6)
    assert each.best == 2


def test_what_is_made_small_is_the_weighted_penalty_less_the_reward():
    noise, reward = torch.tensor([3.0, -2.0, 0.5]), torch.tensor(0.7)
    weighted = Climb("x", noise, Ascent(norm_weight=0.25)).loss(reward)
    assert float(weighted.detach()) == pytest.approx(0.25 * float(norm_penalty(noise)) - 0.7)
    assert float(Climb("x", noise, Ascent()).loss(reward)) == pytest.approx(-0.7)


def test_the_penalty_takes_part_in_the_step_and_not_in_the_reward():
    def flat(samples, sample_rate_hz, prompts):
        return 0 * samples.sum(1)

    (each,) = climbed(flat, ["x"], [0], Identity(), updates=1, norm_weight=0.01)
    # The norm is too long: every number goes a whole first step of Adam towards 0.
    assert_close(each.noise.detach(), torch.tensor([[2.95, -1.95, 0.45]]), 1e-6)
    assert each.rewards == [0.0, 0.0]


@pytest.mark.parametrize("size", [2, 5, 41280])
def test_the_penalty_is_minus_the_log_density_of_the_norm(size):
    likeliest = math.sqrt(size - 1)
    for norm in (0.9 * likeliest, likeliest, 1.1 * likeliest):
        noise = torch.full((size,), norm / math.sqrt(size), dtype=torch.float64)
        expected = chi(size).logpdf(likeliest) - chi(size).logpdf(norm)
        assert float(norm_penalty(noise)) == pytest.approx(expected, rel=1e-9, abs=1e-7)


def test_the_penalty_pulls_towards_the_likeliest_norm():
    direction = torch.randn(4, 25, dtype=torch.float64)
    direction /= direction.norm()
    for norm in (5.0, 20.0):
        noise = (norm * direction).requires_grad_()
        (gradient,) = torch.autograd.grad(norm_penalty(noise), noise)
        assert_close(gradient, direction * (norm - 99 / norm), 1e-9)


def test_the_penalty_holds_the_norm(reward):
    free, held = (climbed(reward, learning_rate=0.5, norm_weight=weight) for weight in (0.0, 1.0))
    for one, other in zip(free, held, strict=True):
        assert abs(other.norms[-1] - 1) < abs(one.norms[-1] - 1)


def test_patience_ends_a_climb_and_not_the_others():
    told = {"x": iter([0.0, 1.0, 2.0, 3.0, 4.0]), "y": iter([0.0, 1.0, 0.9, 1.0, 5.0])}

    def scripted(samples, sample_rate_hz, prompts):
        return 0 * samples.sum(1) + next(told[prompts[0]])

    first, second = climbed(scripted, ["x", "y"], [0, 0], Identity(), updates=4, patience=2)
    assert (first.best, first.rewards) == (4, [0.0, 1.0, 2.0, 3.0, 4.0])
    assert (second.best, second.rewards) == (1, [0.0, 1.0, 0.9, 1.0])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda values: values * math.nan, "iterate 1: the reward is nan"),
        (lambda values: values + math.inf, "iterate 1: the reward is inf"),
        (lambda values: values + 0 * (values - values).sqrt(), "iterate 1: the gradient is not finite"),
    ],
)
def test_what_is_not_finite_ends_one_prompt_alone(spoil, message):
    seen = []

    def reward(samples, sample_rate_hz, prompts):
        seen.append(prompts[0])
        values = square(samples, sample_rate_hz, prompts)
        return spoil(values) if prompts == ["y"] and seen.count("y") == 2 else values

    first, second, third = climbed(reward, ["x", "y", "z"], [0, 0, 0], Identity())
    assert second.error == message
    assert seen.count("y") == 2
    (alone,) = climbed(square, ["x"], [0], Identity())
    for each in (first, third):
        assert each.error is None
        assert each.rewards == alone.rewards


def test_a_clip_that_cannot_be_scored_is_an_error_of_its_own(reward):
    class Loud(NoiseDecoder):
        def render(self, noise, prompts, duration_s):
            loud = torch.tensor([1e30 if prompt == PROMPTS[1] else 1.0 for prompt in prompts])
            return super().render(noise, prompts, duration_s) * loud[:, None, None]

    climbs = climbed(reward, generator=Loud())
    assert [each.error is None for each in climbs] == [True, False, True]
    assert "iterate 0: samples: the features of clip 0 are not finite" in climbs[1].error


def test_a_generator_without_gradients_is_refused(reward):
    with pytest.raises(ValueError, match="generator: the clips that toy rendered have no gradients to their noise"):
        climbed(reward, generator=NoiseDecoder(gradients=False))

    class Tokens:
        name, sample_rate_hz = "musicgen-medium", 32000
        provenance, generate = NoiseDecoder.provenance, NoiseDecoder.generate

    assert isinstance(Tokens(), Generator)
    with pytest.raises(ValueError, match="generator: the clips of musicgen-medium have no gradients to the noise"):
        require_differentiable(Tokens())


@pytest.mark.parametrize(
    ("field", "value"),
    [("updates", -1), ("learning_rate", math.nan), ("learning_rate", -0.1), ("norm_weight", math.inf), ("patience", 0)],
)
def test_an_ascent_out_of_range_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field}: got {value}, accepted are"):
        Ascent(**{field: value})
