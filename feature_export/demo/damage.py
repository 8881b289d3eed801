"""Known damage, in ladders: each kind has rungs from hardly to badly audible, so which clip is better is a fact.

A seed fixes where damage falls (which noise, which drop-outs, which phase of the wow), a rung how hard it hits: of
one seed, the drop-outs of a rung lie inside those of the next.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import ndimage, signal

from feature_export.demo.timbre import SAMPLE_RATE_HZ
from tunejury_jax.errors import one_of

__all__ = ["LADDERS", "RUNGS", "Kind", "damage"]

Kind = Literal["noise", "clip", "detune", "dropout", "lowpass"]
Samples = Float[np.ndarray, " samples"]

LADDERS: dict[Kind, tuple[float, ...]] = {
    "noise": (30.0, 20.0, 10.0, 3.0),
    "clip": (0.5, 0.2, 0.1, 0.05),
    "detune": (0.01, 0.025, 0.05, 0.1),
    "dropout": (0.05, 0.12, 0.22, 0.4),
    "lowpass": (6000.0, 3000.0, 1500.0, 700.0),
}
"""What each rung, from 1 up, sets: signal-to-noise ratio in dB; share of the peak that is left; largest change of
speed; share of the time that is silent; cut-off in Hz."""

RUNGS = 4
SLOT_S, RAMP_S = 0.08, 0.005
WOW_HZ = (0.8, 1.6)


def damage(samples: Samples, kind: Kind, rung: int, seed: int) -> Samples:
    """Damages a clip.

    Args:
        samples: Mono samples at 24 kHz.
        rung: 1 (light) to `RUNGS` (worst).
        seed: Where the damage falls.

    Returns:
        As many samples, in the same scale.

    Raises:
        ValueError: Kind or rung is unknown, or the clip is silent.
    """
    ladder = LADDERS[one_of("kind", kind, tuple(LADDERS))]
    if rung not in range(1, len(ladder) + 1):
        raise ValueError(f"rung: got {rung!r}, accepted are 1 to {len(ladder)}")
    if not np.any(samples):
        raise ValueError("samples: expected sound, got silence only")
    return _DAMAGES[kind](samples, ladder[rung - 1], np.random.Generator(np.random.Philox(key=seed)))


def _noise(samples: Samples, snr_db: float, rng: np.random.Generator) -> Samples:
    noise = rng.standard_normal(len(samples))
    return samples + noise * (_rms(samples) / _rms(noise) * 10 ** (-snr_db / 20))


def _clip(samples: Samples, share: float, rng: np.random.Generator) -> Samples:
    """Cuts the peaks off, then restores loudness: what is left to hear is the distortion."""
    bound = share * np.abs(samples).max()
    clipped = np.clip(samples, -bound, bound)
    return clipped * (_rms(samples) / _rms(clipped))


def _detune(samples: Samples, depth: float, rng: np.random.Generator) -> Samples:
    """Wow, as of a worn tape: speed swings by `depth` around 1, so pitch wavers but is right on average."""
    pulse = 2 * np.pi * rng.uniform(*WOW_HZ) / SAMPLE_RATE_HZ
    frame = np.arange(len(samples))
    drift = depth / pulse * np.sin(pulse * frame + rng.uniform(0, 2 * np.pi))
    return np.asarray(ndimage.map_coordinates(samples, [frame + drift], order=3, mode="nearest"))


def _dropout(samples: Samples, share: float, rng: np.random.Generator) -> Samples:
    slot = round(SLOT_S * SAMPLE_RATE_HZ)
    slots = -(-len(samples) // slot)
    kept = rng.permutation(slots) >= round(share * slots)
    gain = ndimage.uniform_filter1d(np.repeat(kept.astype(float), slot), round(RAMP_S * SAMPLE_RATE_HZ))
    return samples * gain[: len(samples)]


def _lowpass(samples: Samples, cutoff_hz: float, rng: np.random.Generator) -> Samples:
    return np.asarray(signal.sosfilt(signal.butter(8, cutoff_hz, fs=SAMPLE_RATE_HZ, output="sos"), samples))


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples**2)))


_DAMAGES: dict[Kind, Callable[[Samples, float, np.random.Generator], Samples]] = {
    "noise": _noise,
    "clip": _clip,
    "detune": _detune,
    "dropout": _dropout,
    "lowpass": _lowpass,
}
