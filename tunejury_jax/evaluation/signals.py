"""Signals of known quality and known damage, at 16 kHz: what the sanity ladders are made of.

Full scale is 1; a level in dBFS is that of the root mean square, so white noise at 0 dBFS exceeds full scale.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

__all__ = ["RATE_HZ", "add_noise", "boundary_signals", "coloured_noise", "hard_clip", "harmonics", "white_noise"]

RATE_HZ = 16_000
AMPLITUDE = 0.5
COLOURED_DBFS = -20.0
NOISE_DBFS = (-60, -40, -20, 0)
SINES_HZ = (110, 220, 440, 880, 1760)
STACKS_HZ = {"stack 300 600 900 Hz": (300, 600, 900), "stack 110 to 660 Hz": tuple(range(110, 661, 110))}

Samples = Float[np.ndarray, " samples"]


def white_noise(n: int, dbfs: float | int, seed: int = 0) -> Samples:
    """Gaussian noise of a level."""
    return 10 ** (dbfs / 20) * np.random.default_rng(seed).standard_normal(n)


def coloured_noise(n: int, slope: float | int, dbfs: float | int, seed: int = 0) -> Samples:
    """Noise whose power falls as 1 / f^slope, without a constant part: 1 is pink, 2 is brown."""
    spectrum = np.fft.rfft(white_noise(n, 0, seed))
    frequencies = np.arange(len(spectrum), dtype=float)
    spectrum[1:] *= frequencies[1:] ** (-slope / 2)
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, n)
    return 10 ** (dbfs / 20) * noise / np.sqrt(np.square(noise).mean())


def harmonics(n: int, frequencies_hz: Sequence[float | int]) -> Samples:
    """Equally strong sines that begin at zero; their sum peaks at half of full scale."""
    times = np.arange(n) / RATE_HZ
    wave = np.sin(2 * np.pi * np.outer(frequencies_hz, times)).sum(0)
    return AMPLITUDE * wave / np.abs(wave).max()


def boundary_signals(n: int, seed: int = 0) -> dict[str, Samples]:
    """What is no music, by name: silence, noises, sines and stacks of harmonics."""
    return (
        {"silence": np.zeros(n)}
        | {f"white noise {dbfs} dBFS": white_noise(n, dbfs, seed) for dbfs in NOISE_DBFS}
        | {"pink noise": coloured_noise(n, 1, COLOURED_DBFS, seed)}
        | {"brown noise": coloured_noise(n, 2, COLOURED_DBFS, seed)}
        | {f"sine {hz} Hz": harmonics(n, [hz]) for hz in SINES_HZ}
        | {name: harmonics(n, tones) for name, tones in STACKS_HZ.items()}
    )


def add_noise(clip: Samples, snr_db: float | int, seed: int = 0) -> Samples:
    """The clip with white noise so many dB below it, at the clip's own peak, so that it is no louder."""
    level = np.sqrt(np.square(clip).mean()) * 10 ** (-snr_db / 20)
    return _at_peak_of(clip, clip + level * white_noise(len(clip), 0, seed))


def hard_clip(clip: Samples, share: float) -> Samples:
    """The clip cut off at a share of its peak and brought back to that peak."""
    limit = share * np.abs(clip).max()
    return _at_peak_of(clip, np.clip(clip, -limit, limit))


def _at_peak_of(clip: Samples, changed: Samples) -> Samples:
    peak = np.abs(changed).max()
    return changed * (np.abs(clip).max() / peak) if peak else changed
