"""AudioLDM 2: guidance, lengths, and weights that are published under another class."""

import json

import pytest
import torch
from closeness import assert_close
from safetensors.torch import load_file

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # of diffusers

PROMPTS = ["calm piano", "a loud and long drum solo"]


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_guidance_is_that_of_the_published_pipeline(load_denoiser, guidance):
    generator = load_denoiser("audioldm2", steps=2, guidance=guidance, negative_prompt="")
    generator._pipeline.set_progress_bar_config(disable=True)
    for prompt, wave in zip(PROMPTS, generator.generate(PROMPTS, [1, 2], 0.24), strict=True):
        noise = generator.initial_noise([1 + PROMPTS.index(prompt)], 0.24)
        told = {"audio_length_in_s": 0.24, "num_inference_steps": 2, "guidance_scale": guidance, "output_type": "pt"}
        assert_close(wave.numpy(), generator._pipeline(prompt, latents=noise, **told).audios.numpy(), 5e-6)


@pytest.mark.parametrize(("duration_s", "samples"), [(0.29, 4640), (0.07, 1120), (0.2001, 3202), (1e-5, 1)])
def test_clips_have_the_length_that_was_asked_for(load_denoiser, duration_s, samples):
    generator = load_denoiser("audioldm2", steps=1)
    assert generator.generate(PROMPTS[:1], [1], duration_s).shape == (1, 1, samples)


def test_the_language_model_is_the_published_one(load_denoiser, denoiser_folders):
    language_model = load_denoiser("audioldm2", steps=1)._pipeline.language_model
    folder = denoiser_folders / "audioldm2" / "language_model"
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["GPT2Model"]
    for name, weight in load_file(folder / "model.safetensors").items():
        assert torch.equal(language_model.transformer.get_parameter(name), weight)
