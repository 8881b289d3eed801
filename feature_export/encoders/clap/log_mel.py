r"""The log-mel spectrogram that LAION-CLAP hears, and the check that a checkpoint was trained on it.

With Hann frames of 1024 samples every 480 at 48 kHz, centred and mirrored at both ends, and 64 Slaney mel bands $M$
from 50 Hz to 14 kHz of area 1 in Hz: $10 \log_{10} \max(M |\mathrm{rfft}|^2, 10^{-10})$, 1001 frames of 64 bands.

Source: LAION-CLAP's `HTSAT-base.json`, which has the constants, and torchlibrosa, which computes it by a convolution.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from feature_export.encoders.bases import mel_basis

__all__ = ["BANDS", "RATE_HZ", "WINDOW", "check_front_end", "log_mel"]

RATE_HZ = 48_000
WINDOW = 480_000
"""Samples the network hears at once: 10 s."""

N_FFT, HOP, BANDS = 1024, 480, 64
LOW_HZ, HIGH_HZ = 50.0, 14_000.0
POWER_FLOOR = 1e-10

TOLERANCE = 1e-5
"""Of the largest value. Two ways to compute a basis in float32 differ by 1e-7, another window or scale by 1e-2."""


def log_mel(samples: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch 1 frames bands"]:
    """The log-mel spectrogram in dB of samples at 48 kHz, in their dtype; differentiable."""
    window = torch.hann_window(N_FFT, dtype=samples.dtype, device=samples.device)
    spectrum = torch.stft(samples, N_FFT, HOP, window=window, center=True, pad_mode="reflect", return_complex=True)
    power = (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)
    bands = power @ torch.from_numpy(_bands()).to(power)
    return (10 * bands.clamp_min(POWER_FLOOR).log10())[:, None]


def check_front_end(state: Mapping[str, Tensor]) -> None:
    """Compares the filterbank and the Fourier basis that a checkpoint stores with those of `log_mel`.

    Raises:
        ValueError: One is missing, or differs by more than `TOLERANCE` of its largest value.
    """
    turns = 2 * np.pi * (np.outer(np.arange(N_FFT // 2 + 1), np.arange(N_FFT)) % N_FFT) / N_FFT
    window = np.sin(np.pi * np.arange(N_FFT) / N_FFT) ** 2
    expected = {
        "logmel_extractor.melW": _bands(),
        "spectrogram_extractor.stft.conv_real.weight": (window * np.cos(turns))[:, None],
        "spectrogram_extractor.stft.conv_imag.weight": (-window * np.sin(turns))[:, None],
    }
    for key, values in expected.items():
        _check(f"audio_branch.{key}", state, values)


def _bands() -> Float[np.ndarray, "bins bands"]:
    return mel_basis(BANDS, N_FFT, RATE_HZ, LOW_HZ, HIGH_HZ).T * (N_FFT / RATE_HZ)


def _check(key: str, state: Mapping[str, Tensor], expected: Float[np.ndarray, "..."]) -> None:
    if key not in state or tuple(state[key].shape) != expected.shape:
        found = tuple(state[key].shape) if key in state else "nothing"
        raise ValueError(f"weights of clap: {key}: got {found}, expected the shape {expected.shape}")
    apart = float(np.abs(state[key].double().numpy() - expected).max() / np.abs(expected).max())
    if not apart <= TOLERANCE:  # also true of values that are no numbers
        raise ValueError(
            f"weights of clap: {key} differs by {apart:.2g} of its largest value from {N_FFT} samples at {RATE_HZ} Hz "
            f"in {BANDS} bands from {LOW_HZ:g} to {HIGH_HZ:g} Hz, accepted are {TOLERANCE:g}: trained on other spectra"
        )
