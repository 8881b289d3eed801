"""What backbones that make clips from noise have in common, on tiny ones of the published classes."""

import inspect
from dataclasses import replace

import pytest
import torch
from closeness import assert_close

from feature_export.encoders.compute import Compute
from tunejury_jax.applications.ditto.network_digest import digest
from tunejury_jax.applications.generators import DifferentiableGenerator
from tunejury_jax.applications.generators.recipes import TokenRecipe

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # of diffusers

DURATION_S = 0.24
PROMPTS = ["calm piano", "a loud and long drum solo"]
SEEDS = [42, 42]
STEPS = 2
STEP = 1e-5
CHANGES = {"audioldm2": {}, "ace_step": {}, "stable_audio": {"sampler": "dpmpp-ode"}}
LENGTH = {"audioldm2": "audio_length_in_s", "ace_step": "audio_duration", "stable_audio": "audio_end_in_s"}
GUIDANCE = {
    "audioldm2": {"guidance_scale": 3.5, "negative_prompt": "Low quality."},
    "ace_step": {"guidance_scale": 1.0},
    "stable_audio": {"guidance_scale": 7.0},
}


@pytest.fixture(scope="module", params=CHANGES)
def module(request):
    return request.param


@pytest.fixture(scope="module")
def generator(load_denoiser, module):
    return load_denoiser(module, steps=STEPS, **CHANGES[module])


@pytest.fixture(scope="module")
def exact(load_denoiser, module):
    """In float64, which rounding does not hide mistakes in."""
    generator = load_denoiser.__wrapped__(module, steps=STEPS, **CHANGES[module])
    generator.network.double()
    return generator


def published(generator, module, prompt, noise):
    """The clip of diffusers' own pipeline, without the `no_grad` around it."""
    pipeline = generator._pipeline
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = getattr(generator, "_scheduler", pipeline.scheduler)
    call = inspect.unwrap(type(pipeline).__call__, stop=lambda f: not hasattr(f, "__wrapped__"))
    told = {LENGTH[module]: DURATION_S, **GUIDANCE[module]}
    waves = call(
        pipeline, prompt, num_inference_steps=generator.recipe.steps, latents=noise, output_type="pt", **told
    ).audios
    return waves if waves.dim() == 3 else waves[:, None]


def weighted(waves):
    return (waves * torch.linspace(-1, 1, waves.shape[-1])).sum()


def saved_bytes(make):
    """What autograd keeps for the way back."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        waves = make()  # noqa: F841  # alive, so that no address is used twice
        return sum(kept.values())


def test_the_clips_are_those_of_the_published_pipeline_one_prompt_at_a_time(generator, module):
    assert isinstance(generator, DifferentiableGenerator)
    waves = generator.generate(PROMPTS, SEEDS, DURATION_S)
    noise = generator.initial_noise(SEEDS, DURATION_S)
    with torch.no_grad():
        expected = torch.cat(
            [published(generator, module, *each) for each in zip(PROMPTS, noise.split(1), strict=True)]
        )
    assert waves.std() > 0.01
    assert_close(waves.numpy(), expected.numpy(), 5e-6)


def test_a_clip_follows_from_its_own_prompt_and_seed(generator):
    together = generator.generate(PROMPTS, SEEDS, DURATION_S)
    alone = generator.generate(PROMPTS[:1], SEEDS[:1], DURATION_S)[0]
    assert_close(alone.numpy(), together[0].numpy(), 5e-6)
    assert (alone - together[1]).abs().max() > 1e-4  # of one seed, another prompt
    assert (alone - generator.generate(PROMPTS[:1], [43], DURATION_S)[0]).abs().max() > 1e-4


def test_generating_is_rendering_the_initial_noise(generator):
    noise = generator.initial_noise(SEEDS, DURATION_S)
    assert noise.dtype == torch.float32
    assert torch.equal(noise[0], noise[1])
    waves = generator.generate(PROMPTS, SEEDS, DURATION_S)
    assert waves.shape[2] == round(DURATION_S * generator.sample_rate_hz)
    with torch.no_grad():
        assert torch.equal(generator.render(noise, PROMPTS, DURATION_S), waves)


def test_gradients_are_those_of_the_published_pipeline_and_weights_stay(exact, module):
    before = digest(exact.network)
    noise = exact.initial_noise(SEEDS[:1], DURATION_S).double().requires_grad_()
    (found,) = torch.autograd.grad(weighted(exact.render(noise, PROMPTS[:1], DURATION_S)), noise)
    (expected,) = torch.autograd.grad(weighted(published(exact, module, PROMPTS[0], noise)), noise)
    assert digest(exact.network) == before
    assert all(weight.grad is None for weight in exact.network.parameters())
    scale = expected.abs().max()
    assert_close((found / scale).numpy(), (expected / scale).numpy(), 1e-6)


def test_gradients_of_a_batch_are_differences(exact):
    noise = exact.initial_noise(SEEDS, DURATION_S).double().requires_grad_()
    (gradient,) = torch.autograd.grad(weighted(exact.render(noise, PROMPTS, DURATION_S)), noise)
    direction = torch.randn(noise.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    with torch.no_grad():
        ahead, behind = (
            weighted(exact.render(at, PROMPTS, DURATION_S))
            for at in (noise + STEP * direction, noise - STEP * direction)
        )
    slope = float((gradient * direction).sum())
    assert float(ahead - behind) / (2 * STEP) == pytest.approx(slope, rel=1e-3)


def test_of_every_step_only_its_input_is_kept(exact, module, monkeypatch):
    noise = exact.initial_noise(SEEDS[:1], DURATION_S).double().requires_grad_()

    def grown(make):
        kept = []
        for steps in (2, 4):
            monkeypatch.setattr(exact, "recipe", replace(exact.recipe, steps=steps))
            kept.append(saved_bytes(make))
        return (kept[1] - kept[0]) / 2

    ours = grown(lambda: exact.render(noise, PROMPTS[:1], DURATION_S))
    theirs = grown(lambda: published(exact, module, PROMPTS[0], noise))
    assert ours <= 2 * noise.nbytes
    assert theirs > 100 * ours


def test_prompts_are_read_once(generator, monkeypatch):
    read = []
    encode = type(generator)._encode
    monkeypatch.setattr(type(generator), "_encode", lambda self, *asked: read.append(asked) or encode(self, *asked))
    for _ in range(2):
        generator.generate(["never heard before"] * 2, [1, 2], DURATION_S)
    assert read == [("never heard before", DURATION_S)]


def test_autocast_rounds_the_steps_alone(load_denoiser, generator, module):
    rounded = load_denoiser(module, Compute(autocast=True), steps=STEPS, **CHANGES[module])
    assert rounded.provenance()["dtype"] == "bfloat16 autocast"
    assert {**rounded.provenance(), "dtype": "float32"} == generator.provenance()
    exact, waves = (each.generate(PROMPTS, SEEDS, DURATION_S) for each in (generator, rounded))
    assert waves.dtype == torch.float32
    assert 1e-5 < (waves - exact).abs().max() < 0.3
    assert not torch.equal(waves, waves.bfloat16().float())  # decoded in float32


def test_provenance_names_all_that_makes_a_clip(generator, module):
    told = generator.provenance()
    assert told["generator"] == generator.name
    assert len(told["weights"]["sha256"]) == 64
    assert told["recipe"]["steps"] == STEPS


def test_bad_requests_are_refused(generator):
    for prompts, seeds, duration_s in [([], [], 1.0), (["a"], [1, 2], 1.0), (["a"], [1], 0.0), (["a"], [1], 1e4)]:
        with pytest.raises(ValueError, match=r"seeds|duration_s"):
            generator.generate(prompts, seeds, duration_s)
    noise = generator.initial_noise([1], DURATION_S)
    with pytest.raises(ValueError, match=r"noise: got shape .* expected \(2, "):
        generator.render(noise, ["a", "b"], DURATION_S)


def test_other_recipes_are_refused(load_denoiser, generator):
    with pytest.raises(ValueError, match="sampler: got 'heun', accepted are"):
        type(generator)(generator._pipeline, type(generator.recipe)(3, 1.0, sampler="heun"), Compute())
    with pytest.raises(ValueError, match=r"recipe: .* makes clips from noise, got sampling, top 5"):
        type(generator)(generator._pipeline, TokenRecipe(1.0, 5), Compute())
