"""A song as notes: which pitch sounds from when, for the lead, the chords and the bass, and when each drum is hit.

Time runs on a grid of eighth notes. Chords change every 1.4 to 2 s, fast songs have more beats in between, so six
seconds hold about one turn of the progression at any pace.
"""

from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from feature_export.demo.song import SCALES, Song

__all__ = ["DRUM_PATTERNS", "Line", "bass_line", "chord_line", "drum_onsets", "lead_line"]

LEAD_BASE = {"low": 48, "high": 72}
CHORD_BASE, BASS_BASE = 60, 36
"""MIDI numbers of the C that each part is built on, before the key moves it."""

DRUM_PATTERNS: dict[str, dict[str, tuple[int, ...]]] = {
    "none": {},
    "rock": {"kick": (0, 5), "snare": (2, 6), "hat": (0, 1, 2, 3, 4, 5, 6, 7)},
    "four": {"kick": (0, 2, 4, 6), "snare": (4,), "hat": (1, 3, 5, 7)},
    "half": {"kick": (0, 3), "snare": (4,), "hat": (0, 2, 4, 6, 7)},
}
"""Eighth notes of a bar, 0..7, on which each drum is hit."""


class Line(NamedTuple):
    """Notes that follow each other without a gap: each lasts until the next begins, the last until the end.

    Attributes:
        onsets_s: Begin of each note in seconds, rising, the first 0.
        pitches: MIDI note numbers (69 = 440 Hz, fractions allowed), a row for each voice.
    """

    onsets_s: Float[np.ndarray, " notes"]
    pitches: Float[np.ndarray, "voices notes"]


def lead_line(song: Song, duration_s: float) -> Line:
    """The motif, carried from chord to chord."""
    base = LEAD_BASE[song.register]
    motif = zip(range(_slots(song, duration_s)), cycle(song.melody), strict=False)
    notes = {slot: _pitch(song, _root(song, slot) + step, base) for slot, step in motif if step is not None}
    return _line(song, list(notes), [list(notes.values())])


def chord_line(song: Song, duration_s: float) -> Line:
    """Three voices in close position, struck at each change of chord, by a strumming hand on every beat."""
    slots = range(0, _slots(song, duration_s), 2 if song.backing == "strum" else _slots_per_chord(song))
    roots = [_root(song, slot) for slot in slots]
    return _line(song, slots, [[_pitch(song, root + above, CHORD_BASE) for root in roots] for above in (0, 2, 4)])


def bass_line(song: Song, duration_s: float) -> Line:
    """The chord's root on every beat."""
    slots = range(0, _slots(song, duration_s), 2)
    return _line(song, slots, [[_pitch(song, _root(song, s), BASS_BASE) for s in slots]])


def drum_onsets(song: Song, duration_s: float) -> dict[str, Float[np.ndarray, " hits"]]:
    """When each drum of the song's pattern is hit, in seconds."""
    slots = np.arange(_slots(song, duration_s))
    pattern = DRUM_PATTERNS[song.drums]
    return {drum: slots[np.isin(slots % 8, hits)] * _eighth_s(song) for drum, hits in pattern.items()}


def _line(song: Song, slots: Sequence[int], voices: list[list[int]]) -> Line:
    return Line(np.array(slots) * _eighth_s(song), np.array(voices, float))


def _eighth_s(song: Song) -> float:
    return 30.0 / song.tempo_bpm


def _slots(song: Song, duration_s: float) -> int:
    return int(np.ceil(duration_s / _eighth_s(song)))


def _slots_per_chord(song: Song) -> int:
    return 8 if song.pace == "fast" else 4


def _root(song: Song, slot: int) -> int:
    """Scale step of the chord's root, the higher ones an octave down so that voices move little."""
    root = song.progression[slot // _slots_per_chord(song) % len(song.progression)]
    return root if root < 4 else root - 7


def _pitch(song: Song, step: int, base: int) -> int:
    octave, degree = divmod(step, 7)
    return base + song.tonic + 12 * octave + SCALES[song.mode][degree]
