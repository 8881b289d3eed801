"""Fixed bases that gather the bins of a spectrum: mel bands, pitch classes, modulation bands. NumPy, float64.

The first two are cached: callers must not write to them.
"""

import functools
import math

import numpy as np
from jaxtyping import Float

__all__ = ["chroma_basis", "mel_basis", "modulation_basis"]


@functools.lru_cache(maxsize=8)
def mel_basis(
    bands: int, n_fft: int, sample_rate_hz: int, low_hz: float = 0.0, high_hz: float | None = None
) -> Float[np.ndarray, "bands bins"]:
    """Triangles on Slaney's mel scale from `low_hz` to `high_hz` (by default the Nyquist frequency), each with area 1
    over its bins.

    The scale is linear with 200/3 Hz a mel below 1 kHz and logarithmic with 27 mel for a factor of 6.4 above.
    """
    high_hz = sample_rate_hz / 2 if high_hz is None else high_hz
    edges_hz = _slaney_hz(np.linspace(_slaney_mel(low_hz), _slaney_mel(high_hz), bands + 2))
    bins_hz = np.fft.rfftfreq(n_fft, 1 / sample_rate_hz)
    rising = (bins_hz - edges_hz[:-2, None]) / np.diff(edges_hz)[:-1, None]
    falling = (edges_hz[2:, None] - bins_hz) / np.diff(edges_hz)[1:, None]
    bin_hz = sample_rate_hz / n_fft
    area_hz = (edges_hz[2:] - edges_hz[:-2])[:, None] / 2
    return np.maximum(0, np.minimum(rising, falling)) * bin_hz / area_hz


@functools.lru_cache(maxsize=8)
def chroma_basis(n_fft: int, sample_rate_hz: int, a4_hz: float = 440.0) -> Float[np.ndarray, "classes bins"]:
    """36 pitch classes, three a semitone starting at A, over the four octaves from 220 to 3520 Hz; rows sum to 1.

    A bin is shared linearly between its two neighbours on the circle of pitch classes.
    """
    bins_hz = np.fft.rfftfreq(n_fft, 1 / sample_rate_hz)
    inside = (bins_hz >= a4_hz / 2) & (bins_hz < a4_hz * 8)
    place = 36 * np.log2(np.where(inside, bins_hz, a4_hz) / a4_hz)
    apart = np.abs((place - np.arange(36)[:, None] + 18) % 36 - 18)
    shares = np.maximum(0, 1 - apart) * inside
    return shares / shares.sum(1, keepdims=True)


def modulation_basis(edges_hz: tuple[float, ...], n_fft: int, rate_hz: float) -> Float[np.ndarray, "bands bins"]:
    """Integrates a spectral density over bands, in Hz: bin k stands for its surroundings of one bin width, and a band
    takes the part of it that lies inside. So no band is ever empty, however short the clip."""
    edges, bin_hz = np.array(edges_hz), rate_hz / n_fft
    bins_hz = np.arange(n_fft // 2 + 1) * bin_hz
    upper = np.minimum(edges[1:, None], bins_hz + bin_hz / 2)
    lower = np.maximum(edges[:-1, None], bins_hz - bin_hz / 2)
    return np.maximum(0, upper - lower)


def _slaney_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000, 6.4)


def _slaney_hz(mel: Float[np.ndarray, " edges"]) -> Float[np.ndarray, " edges"]:
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
