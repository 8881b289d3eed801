"""Rectified flow on velocities that are known: samplers, guidance, checkpoints, loss."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from tunejury_jax.applications.generators.rectified_flow import (
    checkpointed,
    euler,
    flow_matching_loss,
    guided,
    pingpong,
)

TIMES = torch.tensor([1.0, 0.9, 0.5, 0.2, 0.0], dtype=torch.float64)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def curved(latents, times):
    """A velocity that depends on everything."""
    return torch.sin(2 * latents) + times.reshape(-1, *(1 for _ in latents.shape[1:])) * latents.flip(-1)


def towards(data):
    """The velocity of a flow that has one data point."""
    return lambda latents, times: (latents - data) / times.reshape(-1, 1, 1)


def test_euler_is_the_sum_written_out():
    noise = drawn(2, 3, 4)
    expected = noise.numpy()
    for now, then in zip(TIMES[:-1].numpy(), TIMES[1:].numpy(), strict=True):
        expected = expected + (then - now) * (np.sin(2 * expected) + now * expected[..., ::-1])
    np.testing.assert_allclose(euler(curved, noise, TIMES).numpy(), expected, atol=1e-14)


def test_euler_is_the_published_scheduler_of_tangoflux():
    scheduler, steps = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000), 8
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps))
    expected = noise = drawn(2, 3, 4).float()
    for timestep in scheduler.timesteps:
        velocity = curved(expected, (timestep / 1000).expand(2))
        expected = scheduler.step(velocity, timestep, expected).prev_sample
    found = euler(curved, noise, torch.linspace(1, 0, steps + 1))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-6)


def test_pingpong_is_the_loop_written_out():
    noises = drawn(2, 4, 3, 4)
    expected = noises[:, 0].numpy()
    for step, (now, then) in enumerate(zip(TIMES[:-1].numpy(), TIMES[1:].numpy(), strict=True), start=1):
        data = expected - now * (np.sin(2 * expected) + now * expected[..., ::-1])
        expected = data if then == 0 else (1 - then) * data + then * noises[:, step].numpy()
    np.testing.assert_allclose(pingpong(curved, noises, TIMES).numpy(), expected, atol=1e-14)


def test_a_straight_flow_is_followed_to_its_data_in_any_number_of_steps():
    data, noises = drawn(1, 3, 4, seed=1), drawn(2, 4, 3, 4)
    for times in (TIMES, torch.tensor([1.0, 0.0], dtype=torch.float64)):
        steps = len(times) - 1
        for found in (euler(towards(data), noises[:, 0], times), pingpong(towards(data), noises[:, :steps], times)):
            np.testing.assert_allclose(found.numpy(), data.expand(2, -1, -1).numpy(), atol=1e-12)


def test_pingpong_needs_a_noise_a_step():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        pingpong(curved, drawn(2, 3, 3, 4), TIMES)


def test_guidance_leads_away_from_the_other_condition():
    def velocity(latents, times, condition):
        return latents * condition[:, None, None] + times[:, None, None]

    latents, times = drawn(2, 3, 4), drawn(2, seed=1)
    wanted, other = drawn(2, seed=2), drawn(2, seed=3)
    found = guided(velocity, (wanted,), (other,), 4.5)(latents, times)
    by_hand = velocity(latents, times, other) + 4.5 * (
        velocity(latents, times, wanted) - velocity(latents, times, other)
    )
    torch.testing.assert_close(found, by_hand, rtol=0, atol=1e-14)
    alone = guided(velocity, (wanted,), (), 1.0)(latents, times)  # nothing to lead away from is needed
    assert torch.equal(alone, velocity(latents, times, wanted))


@pytest.mark.parametrize(("sampler", "shape"), [(euler, (2, 3, 4)), (pingpong, (2, 4, 3, 4))])
def test_checkpoints_change_no_gradient_and_keep_one_step(sampler, shape):
    calls = []

    def deep(latents, times):
        calls.append(1)
        for _ in range(10):
            latents = curved(latents, times) / 2
        return latents

    def gradient_and_kept(velocity):
        noise, kept = drawn(*shape).requires_grad_(), []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
            made = sampler(velocity, noise, TIMES)
        return torch.autograd.grad(made.square().sum(), noise)[0], sum(kept)

    plain, all_kept = gradient_and_kept(deep)
    assert len(calls) == 4
    again, few_kept = gradient_and_kept(checkpointed(deep))
    assert len(calls) == 4 + 2 * 4
    torch.testing.assert_close(again, plain, rtol=0, atol=1e-14)
    assert few_kept < all_kept / 3


def test_gradients_are_differences():
    noise = drawn(1, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: euler(checkpointed(curved), z, TIMES[1:]), noise)


def test_the_loss_is_the_mean_written_out():
    data, noise, times = drawn(2, 3, 4), drawn(2, 3, 4, seed=1), torch.tensor([0.25, 0.75], dtype=torch.float64)
    expected = []
    for x, e, t in zip(data.numpy(), noise.numpy(), times.numpy(), strict=True):
        z = (1 - t) * x + t * e
        expected.append((np.sin(2 * z) + t * z[..., ::-1] - (e - x)) ** 2)
    assert float(flow_matching_loss(curved, data, noise, times)) == pytest.approx(np.mean(expected), rel=1e-13)


def test_the_velocity_of_the_flow_has_no_loss():
    data, noise, times = drawn(2, 3, 4), drawn(2, 3, 4, seed=1), torch.tensor([0.25, 0.75], dtype=torch.float64)
    assert float(flow_matching_loss(towards(data), data, noise, times)) < 1e-28
