"""Three drums, each one recorded hit: kick, snare and hi-hat."""

from collections.abc import Mapping
from functools import cache

import numpy as np
from jaxtyping import Float

from feature_export.demo.timbre import SAMPLE_RATE_HZ

__all__ = ["beat"]


def beat(onsets_s: Mapping[str, Float[np.ndarray, " _"]], frames: int) -> Float[np.ndarray, " frames"]:
    """Plays each drum at its onsets, given in seconds."""
    out = np.zeros(frames)
    for drum, times_s in onsets_s.items():
        hit = _hit(drum)
        for start in np.rint(times_s * SAMPLE_RATE_HZ).astype(int):
            out[start : start + len(hit)] += hit[: max(frames - start, 0)]
    return out


@cache
def _hit(drum: str) -> Float[np.ndarray, " hit"]:
    return {"kick": _kick, "snare": _snare, "hat": _hat}[drum]()


def _kick() -> Float[np.ndarray, " hit"]:
    seconds = _seconds(0.25)
    hertz = 45 + 110 * np.exp(-seconds / 0.03)
    return np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE_HZ) * np.exp(-seconds / 0.08)


def _snare() -> Float[np.ndarray, " hit"]:
    seconds = _seconds(0.3)
    skin = np.sin(2 * np.pi * 185 * seconds) * np.exp(-seconds / 0.04)
    return 0.5 * _noise(len(seconds)) * np.exp(-seconds / 0.06) + 0.4 * skin


def _hat() -> Float[np.ndarray, " hit"]:
    seconds = _seconds(0.12)
    return 0.35 * np.diff(_noise(len(seconds)), prepend=0.0) * np.exp(-seconds / 0.025)


def _seconds(duration_s: float) -> Float[np.ndarray, " hit"]:
    return np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ


def _noise(frames: int) -> Float[np.ndarray, " hit"]:
    # One fixed noise: a drum sounds alike in every song, as a drum machine does.
    return np.random.Generator(np.random.Philox(key=808)).uniform(-1, 1, frames)
