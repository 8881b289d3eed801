"""How large the demo data set is, how its songs are split, and how its listener errs."""

from dataclasses import dataclass, fields
from typing import get_args

from tunejury_jax.pairs import Split

__all__ = ["DemoConfig"]

SHARES: dict[Split, float] = {"train": 0.70, "valid": 0.12, "test": 0.18}
MIN_SONGS = 12


@dataclass(frozen=True)
class DemoConfig:
    """Size and labels of the demo data set.

    Attributes:
        songs: Number of songs; 70 % train, 12 % validate, 18 % test, and no song is in two splits.
        damaged_per_song: Damaged clips of each song, beside the clean one.
        damage_pairs_per_song: Comparisons of sound quality for each song.
        prompt_pairs_per_song: Comparisons of fit to a prompt for each song.
        duration_s: Length of a clip in seconds.
        flip_rate: Share of decided pairs in which the listener names the wrong clip.
        tie_rate: Share of quality comparisons between two clips of equal rung.
        both_bad_rate: Share of quality comparisons between two clips of the worst rung.
        seed: Another seed is another data set.
    """

    songs: int = 170
    damaged_per_song: int = 2
    damage_pairs_per_song: int = 8
    prompt_pairs_per_song: int = 6
    duration_s: float = 6.0
    flip_rate: float = 0.06
    tie_rate: float = 0.05
    both_bad_rate: float = 0.02
    seed: int = 0

    def splits(self) -> dict[Split, range]:
        valid, test = (max(2, round(SHARES[split] * self.songs)) for split in ("valid", "test"))
        train = self.songs - valid - test
        return {"train": range(train), "valid": range(train, train + valid), "test": range(train + valid, self.songs)}
