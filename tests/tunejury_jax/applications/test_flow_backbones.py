"""What backbones of rectified flow have in common: tiny TangoFlux and Stable Audio Open small, as published."""

import importlib
from dataclasses import replace

import pytest
import torch
from closeness import assert_close
from safetensors.torch import save_file

from feature_export.encoders.compute import Compute
from feature_export.encoders.state_file import load_strictly, read_state
from tunejury_jax.applications.ditto.network_digest import digest
from tunejury_jax.applications.generators import DifferentiableGenerator, TrainableGenerator, denoising, oobleck
from tunejury_jax.applications.generators.oobleck import from_examples
from tunejury_jax.applications.generators.recipes import TokenRecipe

DURATION_S = 0.1
PROMPTS = ["a calm piano", "drums, loud and fast", "a calm piano"]
SEEDS = [42, 142, 7]
LATENTS_AXIS = {"tangoflux": 0, "stable_audio_small": -1}
CHANGES = {
    "tangoflux": {"steps": 2},
    "stable_audio_small": {"steps": 2},
}


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """A function that loads one anew."""
    root = tmp_path_factory.mktemp("flows")

    def load(case, compute=None, recipe=None, **changes):
        if not (root / case).is_dir():
            importlib.import_module(f"tests.tiny_generators.{case}").write(root / case)
        backbone = importlib.import_module(f"tunejury_jax.applications.generators.{case}")
        own = replace(backbone.RECIPES["own"], **(CHANGES[case] | changes))
        return backbone.load(root / case, recipe or own, compute or Compute(), case)

    return load


@pytest.fixture(scope="module", params=CHANGES)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def generator(load, case):
    return load(case)


def weighted(waves):
    return (waves * torch.linspace(-1, 1, waves.shape[-1])).sum()


def gradient(generator, noise):
    return torch.autograd.grad(weighted(generator.render(noise, PROMPTS[:2], DURATION_S)), noise)[0]


def without_checkpoints(monkeypatch, make):
    with monkeypatch.context() as patched:
        for module in (denoising, oobleck):
            patched.setattr(module, "checkpointed", lambda run: run)
        return make()


def test_is_what_applications_need(generator):
    assert isinstance(generator, DifferentiableGenerator)
    assert isinstance(generator, TrainableGenerator)
    assert generator.sample_rate_hz == 44_100
    assert generator.longest_s == pytest.approx(
        generator.latent_shape(1.0)[LATENTS_AXIS[generator.name]] * 2048 / 44_100
    )
    told = generator.provenance()
    assert told["generator"] == generator.name
    assert told["recipe"]["steps"] == 2
    assert len(told["weights"]["sha256"]) == 64


def test_a_clip_follows_from_its_own_prompt_and_seed(generator):
    together = generator.generate(PROMPTS, SEEDS, DURATION_S)
    assert together.shape == (3, 2, 4410)
    assert together.std() > 0.01
    for prompt, seed, clip in zip(PROMPTS, SEEDS, together, strict=True):
        assert_close(generator.generate([prompt], [seed], DURATION_S)[0].numpy(), clip.numpy(), 5e-6)
    assert (together[0] - together[2]).abs().max() > 1e-3  # the seed
    others = generator.generate(PROMPTS[1::-1], SEEDS[:2], DURATION_S)
    assert (together[0] - others[0]).abs().max() > 1e-3  # the prompt
    longer = generator.generate(PROMPTS[:1], SEEDS[:1], 1.9)[0, :, :4410]
    assert (together[0] - longer).abs().max() > 1e-5  # the duration is told


def test_generating_is_rendering_the_initial_noise(generator):
    noise = generator.initial_noise(SEEDS, DURATION_S)
    assert noise.dtype == torch.float32
    assert noise.std().item() == pytest.approx(1, abs=0.1)
    rendered = generator.render(noise, PROMPTS, DURATION_S)
    assert_close(rendered.numpy(), generator.generate(PROMPTS, SEEDS, DURATION_S).numpy(), 1e-6)


def test_checkpoints_change_no_gradient_and_weights_stay(generator, monkeypatch):
    before = digest(generator.network)
    noise = generator.initial_noise(SEEDS[:2], DURATION_S).requires_grad_()
    found = gradient(generator, noise)
    expected = without_checkpoints(monkeypatch, lambda: gradient(generator, noise))
    assert found.flatten(1).norm(dim=1).min() > 1e-3
    scale = expected.abs().max()
    assert_close((found / scale).numpy(), (expected / scale).numpy(), 1e-6)
    assert digest(generator.network) == before
    assert all(weight.grad is None for weight in generator.network.parameters())


def test_gradients_are_differences(load, case):
    exact = load(case)
    exact.network.double()
    noise = exact.initial_noise(SEEDS[:1], DURATION_S).double().requires_grad_()
    clip = exact.render(noise, PROMPTS[:1], DURATION_S)
    direction = torch.randn(noise.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    slope = float((torch.autograd.grad(weighted(clip), noise)[0] * direction).sum())
    with torch.no_grad():
        ahead, behind = (weighted(exact.render(noise + s * direction, PROMPTS[:1], DURATION_S)) for s in (1e-4, -1e-4))
    # The rotary embeddings of the library are float32 in any case.
    assert float(ahead - behind) / 2e-4 == pytest.approx(slope, rel=2e-3)


def test_less_is_kept_for_the_way_back(generator, monkeypatch):
    noise = generator.initial_noise(SEEDS[:1], DURATION_S).requires_grad_()

    def kept_bytes():
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
            generator.render(noise, PROMPTS[:1], DURATION_S)
        return sum(kept)

    assert kept_bytes() < without_checkpoints(monkeypatch, kept_bytes) / 4


def test_prompts_are_read_once(generator, monkeypatch):
    read, encode = [], type(generator)._encode
    monkeypatch.setattr(type(generator), "_encode", lambda self, *asked: read.append(asked) or encode(self, *asked))
    for _ in range(2):
        generator.generate(["never heard before"] * 2, [1, 2], DURATION_S)
    assert read == [("never heard before", DURATION_S)]


def test_a_prompt_too_long_to_read_is_cut_with_a_warning(generator):
    with pytest.warns(UserWarning, match="prompt: 901 tokens, only the first (64|512) are read"):
        generator.generate(["la " * 300], [1], DURATION_S)


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning")  # of torch, that it is slow
def test_autocast_is_close_and_said(load, generator, case):
    rounded = load(case, Compute(autocast=True))
    assert rounded.provenance()["dtype"] == "bfloat16 autocast"
    clips = rounded.generate(PROMPTS, SEEDS, DURATION_S)
    assert clips.dtype == torch.float32
    assert 1e-6 < (clips - generator.generate(PROMPTS, SEEDS, DURATION_S)).abs().max() < 0.5


def test_training_lowers_the_loss_and_moves_only_what_is_trained(load, case, tmp_path):
    generator = load(case)
    clips = 0.1 * torch.randn(4, 1, 4410, generator=torch.Generator().manual_seed(1))
    examples, prompts = generator.encode(clips, 44_100), ["a", "b", "c c c", "d"]
    assert from_examples(examples)[1].tolist() == pytest.approx([DURATION_S] * 4)
    loss = lambda: generator.loss(examples, prompts, torch.Generator().manual_seed(2))  # noqa: E731
    before, frozen = loss().item(), digest(generator.network)
    assert loss().item() == before  # all randomness comes from the draws
    generator.trained.requires_grad_(True)
    weights = dict(generator.trained.named_parameters())
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-3)
    for _ in range(10):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < 0.8 * before
    assert all(weight.grad is not None for weight in weights.values())
    save_file(
        {name: value.detach() for name, value in generator.trained.state_dict().items()}, tmp_path / "tuned.safetensors"
    )
    fresh = load(case)
    assert digest(fresh.network) == frozen
    load_strictly(fresh.trained, read_state(tmp_path / "tuned.safetensors"), "tuned")
    assert digest(fresh.network) == digest(generator.network)


def test_the_loss_needs_a_prompt_an_example(generator):
    examples = generator.encode(torch.zeros(2, 2, 4410), 44_100)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        generator.loss(examples, ["only one"], torch.Generator())


def test_bad_requests_are_refused(generator):
    for prompts, seeds, duration_s in [
        ([], [], 0.3),
        (["a"], [1, 2], 0.1),
        (["a"], [1], 2.3),
        (["a"], [1], float("nan")),
    ]:
        with pytest.raises(ValueError, match=r"seeds|duration_s"):
            generator.generate(prompts, seeds, duration_s)
    with pytest.raises(ValueError, match="noise: got shape"):
        generator.render(generator.initial_noise([1], DURATION_S), ["a", "b"], DURATION_S)
    with pytest.raises(ValueError, match=r"waves: got 9 s, accepted are .* up to"):
        generator.encode(torch.zeros(1, 2, 9 * 44_100), 44_100)


def test_other_recipes_are_refused(load, case):
    with pytest.raises(ValueError, match="sampler: got 'heun', accepted are"):
        load(case, sampler="heun")
    with pytest.raises(ValueError, match=r"recipe: .* makes clips from noise, got sampling, top 5"):
        load(case, recipe=TokenRecipe(1.0, 5))
