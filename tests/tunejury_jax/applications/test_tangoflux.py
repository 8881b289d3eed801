"""TangoFlux: against its published sampler and training written out, and its weights as they are published."""

import json
import shutil

import pytest
import torch
from closeness import assert_close
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors.torch import load_file, save_file

from feature_export.encoders.compute import Compute
from tests.tiny_generators import tangoflux as tiny
from tunejury_jax.applications.generators.recipes import DiffusionRecipe
from tunejury_jax.applications.generators.tangoflux import RECIPES, Flow, Sizes, load

PROMPTS = ["a calm piano", "drums, loud and fast"]
DURATION_S, STEPS = 0.1, 3
GUIDED, FREE = DiffusionRecipe(STEPS, 4.5), DiffusionRecipe(STEPS, 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tangoflux")
    tiny.write(folder)
    return folder


@pytest.fixture(scope="module")
def guided(folder):
    return load(folder, GUIDED, Compute(), "tangoflux")


def read(generator, text, padding):
    """T5's states of one text as the published code makes them, and which tokens are not padding."""
    flow, tokenizer = generator.network["flow"], generator._tokenizer
    batch = tokenizer([text], return_tensors="pt", truncation=True, **padding)
    states = flow.text_encoder(input_ids=batch.input_ids, attention_mask=batch.attention_mask)[0]
    return states, batch.attention_mask.bool()[..., None]


@torch.no_grad()
def published_clip(generator, prompt, noise, guidance):
    """The published sampler: one prompt, padding heard, a scheduler of diffusers, everything decoded, then cut."""
    flow, scheduler = generator.network["flow"], FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000)
    states, own = read(generator, prompt, {"padding": True})
    if guidance > 1:
        empty, empty_own = read(generator, "", {"padding": "max_length", "max_length": states.shape[1]})
        states, own = torch.cat([empty, states]), torch.cat([empty_own, own])
    pooled = flow.fc(torch.nanmean(torch.where(own, states, torch.tensor(float("nan"))), dim=1))
    seconds = flow.duration_emebdder(torch.tensor([DURATION_S])).repeat(len(states), 1, 1)
    scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / STEPS, STEPS).numpy())
    latents = noise
    for timestep in scheduler.timesteps:
        velocity = flow.transformer(
            hidden_states=latents.repeat(len(states), 1, 1),
            timestep=torch.tensor([timestep / 1000]),
            pooled_projections=pooled,
            encoder_hidden_states=torch.cat([states, seconds], dim=1),
            txt_ids=torch.zeros(states.shape[1] + 1, 3),
            img_ids=torch.arange(noise.shape[1])[:, None].repeat(1, 3),
            return_dict=False,
        )[0]
        if guidance > 1:
            empty_velocity, velocity = velocity.chunk(2)
            velocity = empty_velocity + guidance * (velocity - empty_velocity)
        latents = scheduler.step(velocity, timestep, latents).prev_sample
    whole = generator.network["autoencoder"].decode(latents.transpose(2, 1)).sample
    return whole[..., : round(DURATION_S * 44_100)]


@pytest.mark.parametrize("recipe", [GUIDED, FREE], ids=["guided", "free"])
def test_clips_are_those_of_the_published_sampler(folder, recipe):
    generator = load(folder, recipe, Compute(), "tangoflux")
    noise = generator.initial_noise([42, 142], DURATION_S)
    torch.manual_seed(42)
    assert torch.equal(noise[0], torch.randn(1, tiny.CONFIG["audio_seq_len"], tiny.CONFIG["in_channels"])[0])
    expected = [published_clip(generator, *each, recipe.guidance) for each in zip(PROMPTS, noise.split(1), strict=True)]
    assert_close(generator.generate(PROMPTS, [42, 142], DURATION_S).numpy(), torch.cat(expected).numpy(), 5e-6)


def test_the_loss_is_that_of_training_written_out(guided):
    flow = guided.network["flow"]
    examples = guided.encode(0.1 * torch.randn(2, 2, 9000, generator=torch.Generator().manual_seed(3)), 44_100)
    found = guided.loss(examples, PROMPTS, torch.Generator().manual_seed(4))
    draws = torch.Generator().manual_seed(4)
    normal, losses = torch.randn(2, generator=draws), []
    noise = torch.randn(2, examples.shape[2] - 1, tiny.CONFIG["in_channels"], generator=draws)
    timesteps = torch.linspace(1000, 1, 1000)
    for prompt, example, n, e in zip(PROMPTS, examples, normal, noise, strict=True):
        states, own = read(guided, prompt, {"padding": True})
        sigma = timesteps[int(torch.sigmoid(n) * 1000)] / 1000
        x = example[:, :-1].T
        predicted = flow.transformer(
            hidden_states=((1 - sigma) * x + sigma * e)[None],
            timestep=sigma[None],
            pooled_projections=flow.fc((states * own).sum(1) / own.sum(1)),
            encoder_hidden_states=torch.cat([states, flow.duration_emebdder(torch.tensor([9000 / 44_100]))], dim=1),
            txt_ids=torch.zeros(states.shape[1] + 1, 3),
            img_ids=torch.arange(len(x))[:, None].repeat(1, 3),
            return_dict=False,
        )[0]
        losses.append((predicted[0].double() - (e - x).double()).square().mean())
    assert found.item() == pytest.approx(float(sum(losses) / 2), rel=1e-5)


def test_what_is_trained_has_the_published_names(guided):
    assert set(guided.trained.state_dict()) < set(guided.network["flow"].state_dict())
    assert {name.split(".")[0] for name in guided.trained.state_dict()} == {"transformer", "fc"}


def test_published_sizes_are_those_of_the_paper():
    with torch.device("meta"):
        flow = Flow(Sizes(), tiny.T5Config(d_model=1024, num_layers=1))
    parameters = sum(weight.numel() for weight in flow.transformer.parameters())
    assert 510e6 < parameters < 520e6  # "515M"
    assert list(RECIPES) == ["own", "paper"]
    assert (RECIPES["own"].steps, RECIPES["own"].guidance) == (25, 4.5)
    assert (RECIPES["paper"].steps, RECIPES["paper"].guidance) == (8, 1.0)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.mark.parametrize("file", ["tangoflux.safetensors", "vae.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "left over", "of another shape"])
def test_other_weights_are_refused(copy, file, damage):
    state = load_file(copy / file)
    name = sorted(state)[0]
    if damage == "left over":
        state["stranger"] = torch.zeros(1)
    elif damage == "missing":
        del state[name]
    else:
        state[name] = torch.zeros(3, 3, 3)
    save_file(state, copy / file)
    with pytest.raises(ValueError, match=f"1 {damage}: (stranger|{name})"):
        load(copy, GUIDED, Compute(), "tangoflux")


@pytest.mark.parametrize(
    "file", ["config.json", "tangoflux.safetensors", "vae.safetensors", "flan-t5-large/tokenizer.json"]
)
def test_missing_files_are_named(copy, file):
    (copy / file).unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=file.rpartition("/")[2].partition(".")[0]):
        load(copy, GUIDED, Compute(), "tangoflux")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"num_layers": 0}, "num_layers: got 0"),
        ({"num_layers": True}, "num_layers: got True"),
        ({"audio_seq_len": 1 << 40}, "audio_seq_len: got 1099511627776"),
        ({"joint_attention_dim": 32}, "joint_attention_dim: got 32, the text encoder has 16"),
    ],
)
def test_impossible_sizes_are_refused(copy, change, told):
    (copy / "config.json").write_text(json.dumps(tiny.CONFIG | change))
    with pytest.raises(ValueError, match=told):
        load(copy, GUIDED, Compute(), "tangoflux")
