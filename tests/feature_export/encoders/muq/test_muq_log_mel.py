"""The spectrum of MuQ against its formula in float64, computed frame by frame."""

import numpy as np
import pytest
import torch

from feature_export.encoders.muq.log_mel import BANDS, LogMel
from tests.oracles.signals import music_like

RATE_HZ, N_FFT, HOP = 24_000, 2048, 240


def oracle(samples: np.ndarray) -> np.ndarray:
    """Decibels, bands by frames."""
    window = np.sin(np.pi * np.arange(N_FFT) / N_FFT) ** 2
    padded = np.pad(samples.astype(np.float64), N_FFT // 2, mode="reflect")
    frames = [padded[start : start + N_FFT] * window for start in range(0, len(padded) - N_FFT + 1, HOP)]
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    top_mel = 2595 * np.log10(1 + 12_000 / 700)
    edges = 700 * (10 ** (np.linspace(0, top_mel, BANDS + 2) / 2595) - 1)
    bins = np.arange(N_FFT // 2 + 1) * RATE_HZ / N_FFT
    basis = [np.interp(bins, edges[band : band + 3], [0, 1, 0]) for band in range(BANDS)]
    return 10 * np.log10(np.maximum(np.array(basis) @ power.T, 1e-10))[:, :-1]


@pytest.mark.parametrize("samples", [1025, 4800, 24_001])
def test_equals_the_formula(samples: int) -> None:
    clip = music_like(samples, RATE_HZ, 3)
    found = LogMel(6.5, 18.0)(torch.from_numpy(clip)[None])[0].numpy()
    assert np.abs(found * 18.0 + 6.5 - oracle(clip)).max() < 5e-4  # dB; the bands are computed in float32
    assert found.shape == (BANDS, samples // HOP)


def test_ten_times_the_amplitude_is_20_db() -> None:
    clip = torch.from_numpy(music_like(4800, RATE_HZ, 1))[None]
    log_mel = LogMel(0.0, 1.0)
    assert torch.allclose(log_mel(10 * clip) - log_mel(clip), torch.tensor(20.0), atol=1e-3)


def test_silence_is_the_floor_and_has_no_gradient() -> None:
    clip = torch.zeros(1, 2400, requires_grad=True)
    decibels = LogMel(0.0, 1.0)(clip)
    decibels.sum().backward()
    assert torch.allclose(decibels, torch.tensor(-100.0))
    assert clip.grad is not None
    assert clip.grad.eq(0).all()
