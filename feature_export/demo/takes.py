"""Takes: a song as it is played in a clip, clean or damaged."""

from dataclasses import dataclass
from itertools import product

from feature_export.demo.config import DemoConfig
from feature_export.demo.damage import LADDERS, RUNGS, Kind
from feature_export.demo.draws import Use, stream

__all__ = ["Take", "draw_takes"]


@dataclass(frozen=True, order=True)
class Take:
    """One clip: a song, and the damage done to it; rung 0 is the clean song and has no kind."""

    song: int
    rung: int = 0
    kind: Kind | None = None

    @property
    def system(self) -> str:
        """What made the clip: `clean`, or kind and rung as in `noise-3`."""
        return f"{self.kind}-{self.rung}" if self.kind else "clean"

    @property
    def path(self) -> str:
        """File below the audio root."""
        return f"song-{self.song:04d}/{self.system}.wav"


_DAMAGED = tuple(product(LADDERS, range(1, RUNGS + 1)))


def draw_takes(config: DemoConfig, song: int) -> list[Take]:
    """The takes of one song: the clean one first, then as many different damaged ones as the configuration says."""
    chosen = stream(config.seed, song, Use.TAKES).choice(len(_DAMAGED), config.damaged_per_song, replace=False)
    return [Take(song), *(Take(song, rung, kind) for kind, rung in (_DAMAGED[i] for i in chosen))]
