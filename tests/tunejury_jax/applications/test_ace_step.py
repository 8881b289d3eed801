"""ACE-Step 1.5 turbo: prompts of different lengths, loudness, and what a turbo is not."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from feature_export.encoders.compute import Compute

DURATION_S = 0.24


@pytest.fixture(scope="module")
def generator(load_denoiser):
    return load_denoiser("ace_step", steps=2)


def test_only_prompts_of_equally_many_tokens_share_a_batch(generator, monkeypatch):
    batches = Counter()
    network = type(generator)._network
    monkeypatch.setattr(
        type(generator), "_network", lambda self, *told: batches.update([len(told[0])]) or network(self, *told)
    )
    prompts = ["one", "fifteen", "two", "six"]
    waves = generator.generate(prompts, [1, 2, 3, 4], DURATION_S)
    assert batches == {1: generator.recipe.steps, 3: generator.recipe.steps}
    for seed, (prompt, wave) in enumerate(zip(prompts, waves, strict=True), 1):
        assert (generator.generate([prompt], [seed], DURATION_S)[0] - wave).abs().max() < 5e-6


def test_the_published_pipeline_changes_a_clip_by_its_batch(generator):
    pipeline = generator._pipeline
    pipeline.set_progress_bar_config(disable=True)
    told = {"audio_duration": DURATION_S, "num_inference_steps": 2, "guidance_scale": 1.0}
    noise = generator.initial_noise([1, 1], DURATION_S)
    together = pipeline(["a", "a loud drum"], ["", ""], latents=noise, **told).audios
    assert (together[0] - pipeline("a", "", latents=noise[:1], **told).audios[0]).abs().max() > 1e-4


def test_clips_peak_at_minus_one_decibel(generator):
    waves = generator.generate(["a", "b"], [1, 2], DURATION_S)
    assert waves.abs().amax((1, 2)).tolist() == pytest.approx([10 ** (-1 / 20)] * 2, rel=1e-6)


def test_a_prompt_that_is_cut_is_told_of(generator):
    with pytest.warns(UserWarning, match="prompt: of 256 tokens and more the rest is not read: 'aaa"):
        generator.generate(["a" * 300], [1], DURATION_S)


def test_a_turbo_has_no_guidance(generator, monkeypatch):
    for change in ({"guidance": 3.0}, {"negative_prompt": "noise"}):
        with pytest.raises(ValueError, match=r"guidance: got 2 steps euler, .*accepted is 1"):
            type(generator)(generator._pipeline, replace(generator.recipe, **change), Compute())
    monkeypatch.setattr(generator._pipeline, "is_turbo", False)
    with pytest.raises(ValueError, match="expects those of a turbo"):
        type(generator)(generator._pipeline, generator.recipe, Compute())


def test_a_start_of_the_silence_stands_for_what_is_to_be_made(generator):
    silence = generator._pipeline.condition_encoder.silence_latent
    assert torch.equal(generator._silence(5), silence[:, :5])
    assert generator.longest_s == silence.shape[1] / generator._pipeline.latents_per_second
