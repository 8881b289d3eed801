"""The spectrum of LAION-CLAP: against float64 NumPy and the package's own; what a checkpoint stores is checked."""

from pathlib import Path

import numpy as np
import pytest
import torch
from closeness import assert_close

from feature_export.encoders.clap.log_mel import BANDS, RATE_HZ, WINDOW, check_front_end, log_mel
from tests.oracles.signals import music_like
from tests.tiny_weights import clap as tiny

GOLDEN = np.load(Path(__file__).parents[3] / "golden" / "clap.npz", allow_pickle=False)
MELS = "audio_branch.logmel_extractor.melW"
REAL, IMAG = (f"audio_branch.spectrogram_extractor.stft.conv_{part}.weight" for part in ("real", "imag"))


def expected(samples: np.ndarray) -> np.ndarray:
    padded = np.pad(samples.astype(np.float64), 512, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    frames = np.stack([padded[start : start + 1024] for start in range(0, len(padded) - 1023, 480)])
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    return 10 * np.log10(np.maximum(power @ GOLDEN["filterbank"].astype(np.float64), 1e-10))


def test_equals_numpy() -> None:
    samples = music_like(24_000, RATE_HZ, 0)
    found = log_mel(torch.from_numpy(samples).double()[None])[0, 0].numpy()
    assert found.shape == (51, BANDS)
    assert_close(found, expected(samples), 3e-7)  # dB: the stored filterbank is rounded to float32
    assert_close(log_mel(torch.from_numpy(samples)[None])[0, 0].numpy(), expected(samples), 1e-4)


def test_equals_the_spectrum_of_the_package() -> None:
    found = log_mel(torch.from_numpy(music_like(WINDOW, RATE_HZ, 1))[None])
    assert found.shape == (1, 1, 1001, BANDS)
    assert_close(found[0, 0, ::50].numpy(), GOLDEN["log_mel"], 5e-4)  # dB: two float32 Fourier transforms


def test_silence_is_the_floor_without_a_gradient() -> None:
    silence = torch.zeros(1, 4800, requires_grad=True)
    spectrum = log_mel(silence)
    assert (spectrum == -100).all()
    (gradient,) = torch.autograd.grad(spectrum.sum(), silence)
    assert (gradient == 0).all()


def test_accepts_what_the_package_stores() -> None:
    state = tiny.build()
    check_front_end(state)
    check_front_end(state | {MELS: torch.from_numpy(GOLDEN["filterbank"])})
    rows = GOLDEN["fourier_rows"]
    for key, golden in ((REAL, "fourier_real"), (IMAG, "fourier_imag")):
        assert_close(state[key][rows].numpy(), GOLDEN[golden], 1e-6)
        exact = state[key].clone()
        exact[rows] = torch.from_numpy(GOLDEN[golden])
        check_front_end(state | {key: exact})


def other_filterbank(low_hz: float, scale: str) -> torch.Tensor:
    from transformers.audio_utils import mel_filter_bank

    return torch.from_numpy(mel_filter_bank(513, 64, low_hz, 14000.0, RATE_HZ, norm="slaney", mel_scale=scale)).float()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (MELS, other_filterbank(0.0, "slaney"), "melW differs by .* from 1024 samples .* 64 bands from 50 to 14000 Hz"),
        (MELS, other_filterbank(50.0, "htk"), "melW differs by"),
        (MELS, torch.full((513, 64), float("nan")), "melW differs by nan"),
        (MELS, torch.zeros(257, 64), r"melW: got \(257, 64\), expected the shape \(513, 64\)"),
        (REAL, torch.zeros(513, 1, 1024), "conv_real.weight differs by 1 "),
        (IMAG, -tiny.build()[IMAG], "conv_imag.weight differs by 2 "),
        (REAL, tiny.build()[REAL] * torch.hamming_window(1024), "conv_real.weight differs by"),
    ],
    ids=["low edge", "scale", "nan", "bands", "zeros", "sign", "window"],
)
def test_other_front_ends_are_refused(key: str, value: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=f"weights of clap: .*{message}"):
        check_front_end(tiny.build() | {key: value})


def test_a_front_end_must_be_stored() -> None:
    state = tiny.build()
    del state[MELS]
    with pytest.raises(ValueError, match=r"melW: got nothing, expected the shape \(513, 64\)"):
        check_front_end(state)
