"""Times of rectified flow: against stable-audio-tools, and laws."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tunejury_jax.applications.generators.flow_times import TIMES, Shift, sampling_times

GOLDEN = Path(__file__).parents[2] / "golden" / "stable_audio_small.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_sampling_times_are_equal_steps_of_log_snr():
    times = sampling_times(8).double().numpy()
    assert times[0] == 1
    assert times[-1] == 0
    np.testing.assert_allclose(np.log((1 - times[1:-1]) / times[1:-1]), np.arange(-5, 2), atol=1e-5)


def test_shifts_are_those_of_stable_audio_tools(golden):
    times = torch.from_numpy(golden["times"])
    for length, expected in zip((256, 1000, 4096), golden["shifted"], strict=True):
        np.testing.assert_allclose(Shift()(times, length).numpy(), expected, atol=1e-6)
    assert torch.equal(Shift()(times, 10), Shift()(times, 256))
    assert torch.equal(Shift()(times, 10_000), Shift()(times, 4096))


def test_a_shift_keeps_the_ends_and_the_order():
    times = torch.linspace(0, 1, 11)
    shifted = Shift()(times, 700)
    assert shifted[0] == 0
    assert shifted[-1] == 1
    assert (shifted.diff() > 0).all()
    assert (shifted[1:-1] > times[1:-1]).all()


@pytest.mark.parametrize("name", TIMES)
def test_draws_are_of_their_distribution(golden, name):
    levels = np.linspace(0.05, 0.95, 19)
    normal = torch.special.ndtri(torch.from_numpy(levels)).sigmoid().numpy()
    expected = {"uniform": levels, "logit_normal": normal, "trunc_logit_normal": golden["trunc_quantiles"]}[name]
    drawn = TIMES[name](100_000, torch.Generator().manual_seed(0))
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    np.testing.assert_allclose(np.quantile(drawn.numpy(), levels), expected, atol=0.006)
    assert torch.equal(drawn, TIMES[name](100_000, torch.Generator().manual_seed(0)))
