"""Instruments: how the notes of a line become sound.

An instrument is a short list of harmonics and an envelope. One period of the waveform is tabulated, without the
harmonics that would fold back below the Nyquist frequency, and every voice reads that table at its own speed: a
whole line is a cumulative sum and a look-up, with no loop over notes.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from feature_export.demo.notes import Line

__all__ = ["SAMPLE_RATE_HZ", "TIMBRES", "Timbre", "sing"]

SAMPLE_RATE_HZ = 24_000
TABLE = 4096
HIGHEST_HZ = 0.46 * SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Timbre:
    """An instrument.

    Attributes:
        harmonics: Amplitude of the fundamental, of twice its frequency, and so on.
        attack_s: Time to full level; `release_s` is the time to fade before the next note.
        decay_s: Time in which a note falls to 1/e; infinite for a sustained one. Overtones fall four times as fast.
        spread_cents: Distance in pitch between two copies of each voice, which beat slowly; 0 for one copy.
    """

    harmonics: tuple[float, ...]
    attack_s: float
    release_s: float
    decay_s: float = math.inf
    spread_cents: float = 0.0


def _falling(count: int, slope: float) -> tuple[float, ...]:
    return tuple(k**-slope for k in range(1, count + 1))


TIMBRES: dict[str, Timbre] = {
    "bright": Timbre(_falling(24, 0.7), attack_s=0.006, release_s=0.02),
    "soft": Timbre(_falling(4, 2.5), attack_s=0.06, release_s=0.06),
    "plucked": Timbre(_falling(16, 0.9), attack_s=0.002, release_s=0.01, decay_s=0.16),
    "pad": Timbre(_falling(6, 1.6), attack_s=0.25, release_s=0.2, spread_cents=14.0),
    "organ": Timbre((1.0, 0.7, 0.4, 0.5, 0.0, 0.25, 0.0, 0.3), attack_s=0.02, release_s=0.03),
    "strum": Timbre(_falling(10, 1.2), attack_s=0.004, release_s=0.02, decay_s=0.4),
    "bass": Timbre(_falling(6, 1.5), attack_s=0.01, release_s=0.04, decay_s=0.7),
}


def sing(line: Line, timbre: Timbre, frames: int) -> Float[np.ndarray, " frames"]:
    """Plays a line on an instrument.

    Args:
        frames: Length of the result in samples at 24 kHz.

    Returns:
        The sum of all voices, as loud as its notes make it: levels are set when parts are mixed.
    """
    starts = np.minimum(np.rint(line.onsets_s * SAMPLE_RATE_HZ).astype(int), frames)
    lengths = np.diff(starts, append=frames)
    since_s = (np.arange(frames) - np.repeat(starts, lengths)) / SAMPLE_RATE_HZ
    until_s = np.repeat(lengths / SAMPLE_RATE_HZ, lengths) - since_s
    hertz = 440.0 * 2.0 ** ((_copies(line.pitches, timbre.spread_cents) - 69) / 12)
    wave = _wave(timbre, hertz, lengths, since_s)
    return wave * np.minimum(since_s / timbre.attack_s, 1) * np.minimum(until_s / timbre.release_s, 1)


def _copies(pitches: Float[np.ndarray, "voices notes"], spread_cents: float) -> Float[np.ndarray, "copies notes"]:
    return np.concatenate([pitches - spread_cents / 200, pitches + spread_cents / 200]) if spread_cents else pitches


def _wave(
    timbre: Timbre,
    hertz: Float[np.ndarray, "voices notes"],
    lengths: Int[np.ndarray, " notes"],
    since_s: Float[np.ndarray, " frames"],
) -> Float[np.ndarray, " frames"]:
    """Sum of the voices, without the harmonics that the highest note has no room for, decaying from each onset."""
    audible = int(HIGHEST_HZ // hertz.max())
    periods = np.cumsum(np.repeat(hertz / SAMPLE_RATE_HZ, lengths, axis=1), axis=1)
    place = (periods * TABLE).astype(np.int32) % TABLE
    body = _table(timbre.harmonics[: min(audible, 2)])[place].sum(axis=0)
    edge = _table(timbre.harmonics[:audible], first=3)[place].sum(axis=0)
    if math.isinf(timbre.decay_s):
        return body + edge
    fall = np.exp(-since_s / timbre.decay_s)
    return fall * (body + fall**3 * edge)


@cache
def _table(harmonics: tuple[float, ...], first: int = 1) -> Float[np.ndarray, " table"]:
    """One period of the harmonics from number `first` on."""
    angle = 2 * np.pi * np.arange(TABLE) / TABLE
    return sum((a * np.sin(k * angle) for k, a in enumerate(harmonics, 1) if k >= first), np.zeros(TABLE))
