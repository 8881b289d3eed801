"""Stable Audio Open small: against stable-audio-tools (docs/oracles.md), and its weights as they are published."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from closeness import assert_close
from safetensors.torch import load_file, save_file

from feature_export.encoders.compute import Compute
from tests.oracles.signals import direction, music_like
from tests.tiny_generators import stable_audio_small as tiny
from tunejury_jax.applications.generators.oobleck import from_examples
from tunejury_jax.applications.generators.recipes import DiffusionRecipe
from tunejury_jax.applications.generators.stable_audio_small import Network, Training, load

GOLDEN = Path(__file__).parents[2] / "golden" / "stable_audio_small.npz"
PROMPT, SEED, SECONDS, STEPS, KEPT = "a calm piano", 7, 1.5, 4, 17
SAMPLES = round(SECONDS * 44_100)
CASES = {
    "euler": DiffusionRecipe(STEPS, 6.0),
    "unguided": DiffusionRecipe(STEPS, 1.0),
    "pingpong": DiffusionRecipe(STEPS, 1.0, sampler="pingpong"),
}


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files if name != "record"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stable_audio_small")
    tiny.write(folder)
    return folder


@pytest.fixture(scope="module")
def pingpong(folder):
    return load(folder, CASES["pingpong"], Compute(), "small")


@pytest.mark.parametrize("case", CASES)
def test_clips_and_gradients_are_those_of_stable_audio_tools(golden, folder, case):
    generator = load(folder, CASES[case], Compute(), "small")
    noise = generator.initial_noise([SEED], SECONDS)
    assert_close(noise.flatten().numpy(), golden[f"{case}_noise"].flatten().numpy(), 1e-6)
    noise.requires_grad_()
    clip = generator.render(noise, [PROMPT], SECONDS)
    kept = clip[0, :, ::KEPT]
    expected = golden[case][:, : kept.shape[1]]
    assert_close(kept.detach().numpy(), expected.numpy(), 2e-6)
    whole = generator._decode(generator._sample(noise, [generator._condition(PROMPT, SECONDS)]), 48 * 2048)[
        0, :, ::KEPT
    ]
    (gradient,) = torch.autograd.grad((whole @ torch.from_numpy(direction(whole.shape[1]))).sum(), noise)
    expected = golden[f"{case}_gradient"]
    assert_close(
        (gradient.flatten() / expected.abs().max()).numpy(), (expected / expected.abs().max()).flatten().numpy(), 2e-5
    )


def test_latents_are_those_of_stable_audio_tools(golden, pingpong):
    examples = pingpong.encode(torch.from_numpy(music_like(SAMPLES, 44_100, 3))[None, None], 44_100)
    latents, seconds = from_examples(examples)
    assert_close(latents[0].numpy(), golden["latents"].numpy(), 1e-6)
    assert seconds.item() == pytest.approx(SECONDS)


def test_every_noise_of_pingpong_is_heard(pingpong):
    noise = pingpong.initial_noise([SEED], 0.25)
    assert noise.shape[:2] == (1, STEPS)
    noise.requires_grad_()
    (gradient,) = torch.autograd.grad(pingpong.render(noise, [PROMPT], 0.25).square().sum(), noise)
    assert (gradient.flatten(2).norm(dim=2) > 1e-6).all()


def test_the_loss_is_that_of_training_written_out(pingpong):
    generator = copy.copy(pingpong)
    generator._published.learned = Training("uniform", None, 0.5)
    examples = generator.encode(0.1 * torch.randn(4, 2, 4410, generator=torch.Generator().manual_seed(3)), 44_100)
    found = generator.loss(examples, [PROMPT] * 4, torch.Generator().manual_seed(5))
    draws = torch.Generator().manual_seed(5)
    times, data = torch.rand(4, generator=draws), examples[..., :-1]
    noise, kept = torch.randn(data.shape, generator=draws), torch.rand(4, generator=draws) >= 0.5
    assert set(kept.tolist()) == {True, False}
    losses = []
    for t, x, e, hears in zip(times, data, noise, kept, strict=True):
        tokens, duration = (part[-1:] for part in generator._condition(PROMPT, 0.1))
        predicted = generator._network(((1 - t) * x + t * e)[None], t[None], tokens * bool(hears), duration)[0]
        losses.append((predicted.double() - (e - x).double()).square().mean())
    generator._published.learned = Training("uniform", None, 0.1)
    assert found.item() == pytest.approx(float(sum(losses) / 4), rel=1e-5)


def test_norms_have_no_bias_that_learns(pingpong):
    trained = {name for name, _ in pingpong.trained.named_parameters()}
    assert not {name for name in trained if ".norm1.bias" in name or ".norm2.bias" in name or ".norm3.bias" in name}
    assert any(".norm_q.bias" in name for name in trained)


def test_how_it_is_trained_is_read():
    config = copy.deepcopy(tiny.CONFIG)
    assert Network(config).learned == Training("uniform", None, 0.1)
    config["training"] = {"timestep_sampler": "trunc_logit_normal", "cfg_dropout_prob": 0.2}
    config["model"]["diffusion"]["distribution_shift_options"] = {"min_length": 256, "max_length": 2048}
    training = Network(config).learned
    assert (training.times, training.dropout, training.shift.max_length) == ("trunc_logit_normal", 0.2, 2048)


def test_what_cannot_be_trained_here_can_be_sampled(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "copy")
    (other / "model_config.json").write_text(json.dumps(tiny.CONFIG | {"training": {"timestep_sampler": "cosine"}}))
    generator = load(other, CASES["pingpong"], Compute(), "small")
    with pytest.raises(ValueError, match="timestep_sampler: got 'cosine', accepted are"):
        generator.loss(torch.zeros(1, 2, 9), ["a"], torch.Generator())


def test_negative_prompts_are_refused(folder):
    with pytest.raises(ValueError, match="negative_prompt: got 'noise'"):
        load(folder, DiffusionRecipe(2, 6.0, negative_prompt="noise"), Compute(), "small")


def test_weights_that_torch_saved_are_read_as_well(folder, pingpong, tmp_path):
    other = shutil.copytree(folder, tmp_path / "copy")
    state = load_file(other / "model.safetensors")
    (other / "model.safetensors").unlink()
    torch.save({"state_dict": state}, other / "model.ckpt")
    generator = load(other, CASES["pingpong"], Compute(), "small")
    expected = pingpong.network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in generator.network.state_dict().items())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model.model.to_cond_embed.0.weight", "1 missing: transformer.cross_attention_proj.0.weight"),
        (
            "model.model.transformer.layers.1.self_attn.to_qkv.weight",
            "3 missing: transformer.transformer_blocks.1.attn1.to_k",
        ),
        (
            "pretransform.model.decoder.layers.3.layers.2.layers.1.bias",
            "1 missing: autoencoder.decoder.block.2.res_unit1.conv1.bias",
        ),
        ("conditioner.conditioners.seconds_total.embedder.embedding.0.weights", "1 missing: duration.time_positional"),
    ],
)
def test_missing_weights_are_named(folder, tmp_path, name, told):
    other = shutil.copytree(folder, tmp_path / "copy")
    state = load_file(other / "model.safetensors")
    del state[name]
    save_file(state, other / "model.safetensors")
    with pytest.raises(ValueError, match=told):
        load(other, CASES["euler"], Compute(), "small")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model.model.stranger", "1 left over: transformer.stranger"),
        ("pretransform.model.encoder.layers.99.bias", "1 left over: autoencoder.encoder.layers.99.bias"),
        ("pretransform.model.bottleneck.x", "1 left over: autoencoder.bottleneck.x"),
        ("stranger", "1 left over: stranger"),
        ("model.model.transformer.project_in.weight", "1 of another shape: transformer.proj_in.weight"),
        ("model.model.transformer.rotary_pos_emb.inv_freq", "is not that of 40 rotated dimensions"),
    ],
)
def test_other_weights_are_refused(folder, tmp_path, name, told):
    other = shutil.copytree(folder, tmp_path / "copy")
    save_file({**load_file(other / "model.safetensors"), name: torch.ones(3)}, other / "model.safetensors")
    with pytest.raises(ValueError, match=told):
        load(other, CASES["euler"], Compute(), "small")


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("model_type", "autoencoder", "model_type: got 'autoencoder', accepted are 'diffusion_cond'"),
        ("model.diffusion.diffusion_objective", "v", "diffusion_objective: got 'v'"),
        ("model.diffusion.config.attn_kwargs", {}, "attn_kwargs: got {}"),
        (
            "model.diffusion.config.global_cond_type",
            "adaLN",
            "global_cond_type: got 'adaLN', accepted are None, 'prepend'",
        ),
        ("model.diffusion.config.num_memory_tokens", 4, "num_memory_tokens: got 4, accepted are"),
        ("model.diffusion.config.depth", 0, "depth: got 0, expected int from 1"),
        ("model.diffusion.config.num_heads", 3, "embed_dim: got 160"),
        ("model.pretransform.config.decoder.config.final_tanh", True, "final_tanh: got True"),
        ("model.pretransform.config.encoder.config.strides", [2, -4], "got -4, expected int"),
        ("model.conditioning.configs", [], "got 0 of id 'prompt' and type 't5', expected one"),
        ("model.diffusion.distribution_shift_options", {"use_sine": True}, "got 'use_sine', accepted are 'base_shift'"),
        ("sample_size", "long", "sample_size: got 'long', expected int"),
    ],
)
def test_other_configurations_are_refused(path, value, told):
    config = json.loads(json.dumps(tiny.CONFIG))
    *parents, last = path.split(".")
    part = config
    for key in parents:
        part = part[key]
    part[last] = value
    with pytest.raises(ValueError, match=told):
        Network(config)


def test_published_sizes_have_the_published_count_of_tensors():
    """With 16 layers 382 of the transformer, 750 in all: so many were counted in the published file."""
    names = [name for name, _ in tiny.published_shapes()]
    assert len(names) == 750 - 14 * 23
    assert sum(name.startswith("model.model.") for name in names) == 382 - 14 * 23
