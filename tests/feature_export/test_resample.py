"""Resampling against the sum it stands for, in float64 NumPy, and its laws."""

import numpy as np
import pytest
import torch
from jaxtyping import Float
from numpy.testing import assert_allclose
from torch import Tensor

from feature_export.resample import MAX_KERNEL_ELEMENTS, resample

PAIRS = [(44100, 24000), (32000, 24000), (48000, 24000), (24000, 48000), (44100, 16000), (16000, 48000), (22050, 24000)]


def reference(x: Float[np.ndarray, " old"], from_hz: int, to_hz: int) -> Float[np.ndarray, " new"]:
    """Every output as a sum over every input: the formula in the unreduced rates, with nothing shared or cut."""
    cutoff_hz = 0.99 * min(from_hz, to_hz)
    times_s = np.arange(-(-len(x) * to_hz // from_hz)) / to_hz
    u = cutoff_hz * (np.arange(len(x)) / from_hz - times_s[:, None])
    kernel = np.where(np.abs(u) < 6, np.sinc(u) * np.cos(np.pi * u / 12) ** 2, 0)
    return cutoff_hz / from_hz * kernel @ x


def noise(*shape: int, seed: int = 0) -> Float[Tensor, "*shape"]:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
@pytest.mark.parametrize("length", [1, 2, 147, 1000])
def test_equals_the_sum_in_float64(from_hz: int, to_hz: int, length: int) -> None:
    x = noise(length)
    assert_allclose(resample(x, from_hz, to_hz), reference(x.numpy(), from_hz, to_hz), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_float32_filters_are_made_in_float32(from_hz: int, to_hz: int) -> None:
    x = noise(2000)
    rounded = resample(x.float(), from_hz, to_hz)
    assert rounded.dtype == torch.float32
    assert_allclose(rounded, reference(x.numpy(), from_hz, to_hz), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_length_is_rounded_up(from_hz: int, to_hz: int) -> None:
    for length in (0, 1, 440, 441, 442):
        assert resample(torch.zeros(length), from_hz, to_hz).shape == (-(-length * to_hz // from_hz),)


def test_equal_rates_change_nothing() -> None:
    x = noise(2, 100)
    assert resample(x, 44100, 44100) is x
    assert resample(x, 44101, 44101) is x  # however large the kernel would be


def test_is_linear() -> None:
    x, y = noise(500), noise(500, seed=1)
    mixed = resample(2 * x - 3 * y, 44100, 24000)
    assert_allclose(mixed, 2 * resample(x, 44100, 24000) - 3 * resample(y, 44100, 24000), atol=1e-12)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_a_sine_stays_the_sine(from_hz: int, to_hz: int) -> None:
    def sine(rate_hz: int) -> Float[Tensor, " samples"]:
        return torch.sin(2 * np.pi * 997 * torch.arange(rate_hz // 10, dtype=torch.float64) / rate_hz)

    made, expected = resample(sine(from_hz), from_hz, to_hz), sine(to_hz)
    assert_allclose(made[100:-100], expected[100:-100], rtol=0, atol=2e-3)


def test_what_the_new_rate_cannot_hold_is_removed() -> None:
    tone = torch.sin(2 * np.pi * 16000 * torch.arange(4410, dtype=torch.float64) / 44100)
    assert float(resample(tone, 44100, 24000)[100:-100].abs().max()) < 0.01


def test_batch_axes_are_kept() -> None:
    x = noise(2, 3, 400)
    made = resample(x, 44100, 24000)
    assert made.shape[:2] == (2, 3)
    assert_allclose(made[1, 2], resample(x[1, 2], 44100, 24000), atol=1e-14)


def test_is_deterministic() -> None:
    x = noise(2, 5000).float()
    assert torch.equal(resample(x, 44100, 24000), resample(x, 44100, 24000))


@pytest.mark.parametrize(("from_hz", "to_hz"), [(3, 2), (2, 3), (44100, 24000)])
def test_gradient(from_hz: int, to_hz: int) -> None:
    x = noise(2, 40).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: resample(x, from_hz, to_hz), (x,))


def test_a_filter_made_in_inference_mode_serves_a_gradient() -> None:
    x = torch.ones(50)
    with torch.inference_mode():
        resample(x, 701, 700)
    resample(x.requires_grad_(), 701, 700).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_global_torch_state_is_not_used() -> None:
    x = torch.ones(50)
    torch.set_default_dtype(torch.float64)
    try:
        assert resample(x, 503, 500).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_kernel_that_would_not_fit_is_refused() -> None:
    message = rf"44101 -> 24000 have the common divisor 1 .* at most {MAX_KERNEL_ELEMENTS}"
    with pytest.raises(ValueError, match=message):
        resample(torch.zeros(10), 44101, 24000)


@pytest.mark.parametrize(("from_hz", "to_hz", "field"), [(0, 24000, "from_hz"), (44100, -1, "to_hz")])
def test_a_rate_must_be_positive(from_hz: int, to_hz: int, field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: expected a positive sampling rate in Hz, got"):
        resample(torch.zeros(10), from_hz, to_hz)
