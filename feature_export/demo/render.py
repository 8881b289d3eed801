"""From a song to sound: play the parts, set their levels, add a little room, master."""

import numpy as np
from jaxtyping import Float

from feature_export.demo.drums import beat
from feature_export.demo.notes import bass_line, chord_line, drum_onsets, lead_line
from feature_export.demo.song import Song
from feature_export.demo.timbre import SAMPLE_RATE_HZ, TIMBRES, sing

__all__ = ["LEVEL", "PEAK", "render"]

LEVEL, PEAK = 0.1, 0.6
"""RMS of a rendered song, and the bound that its samples stay below; full scale is 1."""

PART_LEVELS = {"lead": 1.0, "chords": 0.55, "bass": 0.6, "drums": 0.8}
AIR = 0.004
FADE_S = 0.03


def render(song: Song, duration_s: float = 6.0) -> Float[np.ndarray, " samples"]:
    """Plays a song from its begin.

    Args:
        duration_s: Length in seconds.

    Returns:
        Mono samples at 24 kHz, RMS near `LEVEL`, all below `PEAK`; the same song gives the same samples.

    Raises:
        ValueError: The duration is shorter than a tenth of a second.
    """
    if not duration_s >= 0.1:
        raise ValueError(f"duration_s: expected at least 0.1 s, got {duration_s!r}")
    frames = round(duration_s * SAMPLE_RATE_HZ)
    parts = _parts(song, duration_s, frames)
    mix = sum((PART_LEVELS[name] * _at_level(part) for name, part in parts.items()), np.zeros(frames))
    return _master(_echo(mix, song.tempo_bpm))


def _parts(song: Song, duration_s: float, frames: int) -> dict[str, Float[np.ndarray, " samples"]]:
    return {
        "lead": sing(lead_line(song, duration_s), TIMBRES[song.lead], frames),
        "chords": sing(chord_line(song, duration_s), TIMBRES[song.backing], frames),
        "bass": sing(bass_line(song, duration_s), TIMBRES["bass"], frames),
        "drums": beat(drum_onsets(song, duration_s), frames),
    }


def _at_level(part: Float[np.ndarray, " samples"], level: float = 1.0) -> Float[np.ndarray, " samples"]:
    rms = np.sqrt(np.mean(part**2))
    return part * (level / rms) if rms else part


def _echo(mix: Float[np.ndarray, " samples"], tempo_bpm: float) -> Float[np.ndarray, " samples"]:
    """Two echoes a dotted eighth apart."""
    out = mix.copy()
    for turn, gain in ((1, 0.2), (2, 0.08)):
        delay = round(turn * 45 / tempo_bpm * SAMPLE_RATE_HZ)
        out[delay:] += gain * mix[: max(len(mix) - delay, 0)]
    return out


def _master(mix: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " samples"]:
    """Sets the level, rounds the peaks off, and fades in and out.

    A breath of air, a hiss 28 dB below the music, is in every song: without it a song of soft tones has nothing above
    a few kHz, and no ear could tell it from its low-passed copy.
    """
    air = np.random.Generator(np.random.Philox(key=len(mix))).standard_normal(len(mix))
    mix = PEAK * np.tanh((_at_level(mix, LEVEL) + AIR * air) / PEAK)
    edge = np.minimum(np.arange(len(mix)), np.arange(len(mix))[::-1]) / (FADE_S * SAMPLE_RATE_HZ)
    return mix * np.minimum(edge, 1)
