"""Takes: one song as it is heard in one clip, clean or damaged, at some volume."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float

from feature_export.demo.config import DemoConfig
from feature_export.demo.damage import LADDERS, RUNGS, Kind, damage
from feature_export.demo.draws import Use, stream

__all__ = ["Take", "draw_takes", "play"]

GAIN_DB = (-9.0, 0.0)
_DAMAGES: tuple[tuple[Kind, int], ...] = tuple(product(LADDERS, range(1, RUNGS + 1)))


@dataclass(frozen=True)
class Take:
    """How one clip is made of a song.

    Attributes:
        song: Number of the song.
        gain_db: Volume, drawn for each clip, so that the better clip is not simply the louder one.
        kind: Kind of damage; None for a clean take.
        rung: How bad: 0 is clean, then as in `LADDERS`.
        seed: Where the damage falls, one for all takes of a song.
    """

    song: int
    gain_db: float
    kind: Kind | None = None
    rung: int = 0
    seed: int = 0

    @property
    def system(self) -> str:
        """What made the clip: `clean`, or kind and rung as in `noise-3`."""
        return f"{self.kind}-{self.rung}" if self.kind else "clean"

    @property
    def path(self) -> str:
        """File below the audio root."""
        return f"song-{self.song:04d}/{self.system}.wav"


def draw_takes(config: DemoConfig, song: int) -> list[Take]:
    """The takes of a song: the clean one first, then as many different damaged ones as are asked for."""
    rng = stream(config.seed, song, Use.TAKES)
    chosen = [_DAMAGES[i] for i in rng.choice(len(_DAMAGES), config.damaged_per_song, replace=False)]
    clean_db, *gains_db = rng.uniform(*GAIN_DB, 1 + len(chosen)).tolist()
    seed = int(rng.integers(2**32))
    return [
        Take(song, clean_db),
        *(Take(song, db, kind, rung, seed) for (kind, rung), db in zip(chosen, gains_db, strict=True)),
    ]


def play(take: Take, clean: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " samples"]:
    """Makes the clip of a take from its clean song, both mono at 24 kHz."""
    heard = damage(clean, take.kind, take.rung, take.seed) if take.kind else clean
    return heard * 10 ** (take.gain_db / 20)
