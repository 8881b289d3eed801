"""How large the demo data set is, how its songs are split, and how its listener errs."""

from dataclasses import dataclass

from feature_export.demo.damage import LADDERS, RUNGS
from tunejury_jax.pairs import Split

__all__ = ["DemoConfig"]

HELD_OUT: dict[Split, float] = {"valid": 0.12, "test": 0.18}
MIN_HELD_OUT = 4
MAX_CLIPS = 6_000
"""All pairs of the clips of a split are listed before some are drawn: more would take gigabytes."""


@dataclass(frozen=True)
class DemoConfig:
    """Size and labels of the demo data set.

    The default has 170 songs, 510 clips (147 MB) and about 3,050 pairs, and is written in some ten seconds.

    Attributes:
        songs: Number of songs: 70 % to train on, 12 % to validate, 18 % to test, and none in two splits.
        damaged_per_song: Damaged clips of each song, beside the clean one.
        damage_pairs_per_song: Comparisons of sound quality, as many times the songs of a split.
        prompt_pairs_per_song: Comparisons of fit to a prompt, likewise.
        duration_s: Length of a clip in seconds.
        flip_rate: Probability that the listener names the wrong clip of a pair that has a better one.
        tie_rate: Share of quality comparisons between two clips of equal rung.
        both_bad_rate: Share of quality comparisons between two clips of the worst rung.
        seed: Another seed is another data set. With the default the louder clip wins about half of the time in every
            split; a split has few clips and each its own volume, so with others it may stray from that by .1.
    """

    songs: int = 170
    damaged_per_song: int = 2
    damage_pairs_per_song: int = 10
    prompt_pairs_per_song: int = 8
    duration_s: float = 6.0
    flip_rate: float = 0.06
    tie_rate: float = 0.05
    both_bad_rate: float = 0.02
    seed: int = 7

    def __post_init__(self) -> None:
        _within("songs", self.songs, 4 * MIN_HELD_OUT, MAX_CLIPS)
        _within("damaged_per_song", self.damaged_per_song, 1, len(LADDERS) * RUNGS)
        _within("songs * (1 + damaged_per_song)", self.songs * (1 + self.damaged_per_song), 1, MAX_CLIPS)
        _within("damage_pairs_per_song", self.damage_pairs_per_song, 1, 10_000)
        _within("prompt_pairs_per_song", self.prompt_pairs_per_song, 1, 10_000)
        _within("duration_s", self.duration_s, 0.5, 600)
        _within("flip_rate", self.flip_rate, 0, 0.5)
        _within("tie_rate", self.tie_rate, 0, 0.5)
        _within("both_bad_rate", self.both_bad_rate, 0, 0.5)
        _within("seed", self.seed, 0, 2**63 - 1)

    def splits(self) -> dict[Split, range]:
        """The songs of each split, by number; which songs fall where is chance, for each is drawn on its own."""
        valid, test = (max(MIN_HELD_OUT, round(share * self.songs)) for share in HELD_OUT.values())
        train = self.songs - valid - test
        return {"train": range(train), "valid": range(train, train + valid), "test": range(train + valid, self.songs)}


def _within(field: str, value: int | float, low: int | float, high: int | float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{field}: expected {low} to {high}, got {value!r}")
