"""Stable Audio Open 1.0: the sampler that it was published with, and the one that renders noise."""

import warnings

import pytest
import torch
from closeness import assert_close

from feature_export.encoders.compute import Compute

DURATION_S = 0.24
PROMPTS = ["calm piano", "hi"]
SEEDS = [42, 43]
SAMPLERS = ("dpmpp-sde", "dpmpp-ode")


def published(generator, **told):
    pipeline = generator._pipeline
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = generator._scheduler
    asked = {"num_inference_steps": 3, "audio_end_in_s": DURATION_S, "output_type": "pt", **told}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of torchsde, about rounding
        return pipeline(PROMPTS, generator=[torch.Generator().manual_seed(seed) for seed in SEEDS], **asked).audios


def test_its_own_recipe_makes_the_clips_of_the_published_pipeline(load_denoiser):
    generator = load_denoiser("stable_audio", steps=3)
    waves = generator.generate(PROMPTS, SEEDS, DURATION_S)
    assert_close(waves.numpy(), published(generator, guidance_scale=7.0).numpy(), 5e-6)
    assert_close(generator.generate(PROMPTS[1:], SEEDS[1:], DURATION_S)[0].numpy(), waves[1].numpy(), 5e-6)


def test_its_own_recipe_renders_no_noise(load_denoiser):
    generator = load_denoiser("stable_audio", steps=3)
    with pytest.raises(ValueError, match=r"'dpmpp-sde' draws noise at every step; .* take a recipe with 'dpmpp-ode'"):
        generator.render(generator.initial_noise([1], DURATION_S), ["hi"], DURATION_S)


@pytest.mark.parametrize(("guidance", "negative"), [(1.0, ""), (1.0, "noise"), (4.0, "Low quality.")])
def test_guidance_is_that_of_the_published_pipeline(load_denoiser, guidance, negative):
    changes = {"steps": 3, "sampler": "dpmpp-ode", "guidance": guidance, "negative_prompt": negative}
    generator = load_denoiser("stable_audio", **changes)
    told = {"guidance_scale": guidance, "negative_prompt": [negative] * 2 if negative else None}
    expected = published(generator, **told)
    assert_close(generator.generate(PROMPTS, SEEDS, DURATION_S).numpy(), expected.numpy(), 5e-6)


def test_clips_are_as_long_as_its_latents_at_most(load_denoiser):
    generator = load_denoiser("stable_audio", steps=1)
    assert generator.longest_s == 5.12
    assert generator.generate(["hi"], [1], 5.12).shape == (1, 2, 40960)
    with pytest.raises(ValueError, match=r"duration_s: got 5.2, accepted are lengths above 0 and up to 5.12 s"):
        generator.generate(["hi"], [1], 5.2)


def test_the_sampler_solves_the_flow_of_normal_data():
    r"""With data of deviation s the flow is known: $x(0) = x(\sigma) s / \sqrt{s^2 + \sigma^2}$."""
    from tunejury_jax.applications.generators.denoising import denoise
    from tunejury_jax.applications.generators.stable_audio import FlowScheduler

    deviation = 0.4
    scheduler = FlowScheduler(
        sigma_min=1e-3, sigma_max=500.0, sigma_data=1.0, sigma_schedule="exponential", prediction_type="v_prediction"
    )

    def velocity(scaled, times):
        angle = times.double()[:, None] * torch.pi / 2
        data, noise = deviation**2 * angle.cos() ** 2, angle.sin() ** 2
        # Of x = cos a * data + sin a * noise, the expected cos a * noise - sin a * data.
        return scaled * angle.sin() * angle.cos() * (1 - deviation**2) / (data + noise)

    noise = torch.linspace(-2, 2, 5, dtype=torch.float64)[None]
    scheduler.set_timesteps(200)
    found = denoise(velocity, scheduler, noise)
    assert_close(found.numpy(), (deviation * noise).numpy(), 1e-3)


def test_the_network_is_told_of_the_noise_of_the_published_sampler(load_denoiser):
    published, flow = (load_denoiser("stable_audio", steps=7, sampler=each)._scheduler for each in SAMPLERS)
    assert published.config.sigma_max == 500
    for scheduler in (published, flow):
        scheduler.set_timesteps(7)
    assert torch.equal(flow.timesteps, published.timesteps)
    assert torch.equal(flow.sigmas, published.sigmas)


def test_the_sampler_of_a_pipeline_made_by_hand_keeps_its_levels(load_denoiser):
    from diffusers import CosineDPMSolverMultistepScheduler

    from tunejury_jax.applications.generators.stable_audio import RECIPES, StableAudio

    pipeline = load_denoiser.__wrapped__("stable_audio", steps=1)._pipeline
    pipeline.scheduler = CosineDPMSolverMultistepScheduler()
    flow = StableAudio(pipeline, RECIPES["ode"], Compute())._scheduler
    assert (flow.config.sigma_max, flow.config.sigma_schedule) == (500, "exponential")
