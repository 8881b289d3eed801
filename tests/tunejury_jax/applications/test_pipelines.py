"""Parts of pipelines from folders: complete, or refused with what is wrong."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file


@pytest.fixture
def folder(load_denoiser, denoiser_folders, tmp_path):
    load_denoiser("stable_audio", steps=1)
    return shutil.copytree(denoiser_folders / "stable_audio", tmp_path / "copy")


def load(folder, *names):
    from tunejury_jax.applications.generators.pipelines import load_parts
    from tunejury_jax.applications.generators.stable_audio import PARTS

    return load_parts(folder, {name: PARTS[name] for name in names or PARTS})


def test_all_networks_are_frozen_and_evaluate(folder):
    from torch import nn

    parts = load(folder)
    networks = [part for part in parts.values() if isinstance(part, nn.Module)]
    assert len(networks) == 4
    assert not any(network.training for network in networks)
    assert not any(weight.requires_grad for network in networks for weight in network.parameters())


def test_a_part_that_is_not_there_is_named(folder):
    shutil.rmtree(folder / "vae")
    with pytest.raises(ValueError, match=r"weights: .*vae is not there"):
        load(folder, "vae")


def test_a_tokenizer_without_words_is_refused(folder):
    (folder / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"tokenizer has no vocabulary, expected one of tokenizer.json"):
        load(folder, "tokenizer")


def test_a_damaged_sampler_is_refused(folder):
    (folder / "scheduler" / "scheduler_config.json").write_text("{")
    with pytest.raises(ValueError, match="scheduler cannot be read"):
        load(folder, "scheduler")


def test_missing_weights_are_named(folder):
    path = folder / "projection_model" / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    state.pop("text_projection.weight")
    save_file(state, path)
    with pytest.raises(ValueError, match=r"projection_model does not hold a .*text_projection.weight"):
        load(folder, "projection_model")


def test_weights_of_another_size_are_refused(folder):
    path = folder / "projection_model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "conditioning_dim": 9}))
    with pytest.raises(ValueError, match="projection_model"):
        load(folder, "projection_model")
