"""A song on paper: the attributes that a listener could name, and the motif that makes it a tune.

Four attributes are meant to be heard in simple statistics of the sound: pace, drums, timbre of the lead and its
register. A description names them in few, repeated words, so that a text encoder without any training can carry them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from feature_export.demo.draws import Use, stream

__all__ = ["PROGRESSIONS", "SCALES", "Backing", "Drums", "Lead", "Mode", "Register", "Song", "describe", "draw_song"]

Mode = Literal["major", "minor"]
Lead = Literal["bright", "soft", "plucked"]
Register = Literal["low", "high"]
Backing = Literal["pad", "organ", "strum"]
Drums = Literal["none", "rock", "four", "half"]

SCALES: dict[Mode, tuple[int, ...]] = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
"""Semitones above the tonic of the seven scale steps."""

PROGRESSIONS: dict[Mode, tuple[tuple[int, ...], ...]] = {
    "major": ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 1, 4), (0, 2, 3, 4)),
    "minor": ((0, 5, 2, 6), (0, 3, 5, 6), (0, 6, 5, 6), (0, 2, 6, 3)),
}
"""Chord roots as scale steps, four chords a turn."""

SLOW_BPM, FAST_BPM = (60.0, 80.0), (140.0, 176.0)
SLOTS = 16
CHORD_STEPS = (0, 2, 4)


@dataclass(frozen=True)
class Song:
    """Everything needed to play one song.

    Attributes:
        index: Number of the song in its data set.
        tempo_bpm: Quarter notes a minute; the gap between slow and fast is empty.
        tonic: Semitones of the key above C, -6..5.
        progression: Chord roots as scale steps.
        drums: Name of a drum pattern, or `none`.
        melody: One entry an eighth note: scale steps above the chord's root, None to hold the note before.
    """

    index: int
    tempo_bpm: float
    tonic: int
    mode: Mode
    progression: tuple[int, ...]
    lead: Lead
    register: Register
    backing: Backing
    drums: Drums
    melody: tuple[int | None, ...]

    @property
    def pace(self) -> Literal["slow", "fast"]:
        return "fast" if self.tempo_bpm >= FAST_BPM[0] else "slow"

    @property
    def audible(self) -> tuple[str, str, bool, str]:
        """The four attributes that descriptions tell apart: pace, lead, drums or none, register."""
        return self.pace, self.lead, self.drums != "none", self.register


def draw_song(seed: int, index: int) -> Song:
    """Draws song number `index` of the data set with this seed; no other song is looked at."""
    rng = stream(seed, index, Use.SONG)
    mode: Mode = rng.choice(("major", "minor")).item()
    return Song(
        index=index,
        tempo_bpm=float(rng.uniform(*(SLOW_BPM, FAST_BPM)[rng.integers(2)])),
        tonic=int(rng.integers(-6, 6)),
        mode=mode,
        progression=PROGRESSIONS[mode][rng.integers(len(PROGRESSIONS[mode]))],
        lead=rng.choice(("bright", "soft", "plucked")).item(),
        register=rng.choice(("low", "high")).item(),
        backing=rng.choice(("pad", "organ", "strum")).item(),
        drums=rng.choice(("none", "rock", "four", "half"), p=(0.5, 0.2, 0.15, 0.15)).item(),
        melody=_motif(rng),
    )


def _motif(rng: np.random.Generator) -> tuple[int | None, ...]:
    """Chord tones on the beats that carry weight, steps to a neighbour between them, some notes held."""
    motif: list[int | None] = []
    step = 0
    for slot in range(SLOTS):
        strong = slot % 4 == 0
        step = int(rng.choice(CHORD_STEPS)) if strong else int(np.clip(step + rng.choice((-1, 1)), -1, 5))
        motif.append(step if strong or rng.random() < 0.65 else None)
    return tuple(motif)


def describe(song: Song, wording: int = 0) -> str:
    """Says in words what the song is like: its audible attributes, and nothing else.

    >>> describe(draw_song(seed=0, index=0))
    'slow music without drums and a bright high lead'

    Args:
        wording: Which of the ways to say it; any integer, taken modulo their number.
    """
    drums = "with drums" if song.drums != "none" else "without drums"
    lead = f"{song.lead} {song.register} lead"
    wordings = (f"{song.pace} music {drums} and a {lead}", f"a {lead}, {song.pace} music {drums}")
    return wordings[wording % len(wordings)]
