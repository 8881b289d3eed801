"""Which clips are measured, and by which embedding: what commands ask for. Light, so that their help is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Embedding", "Selection", "require_reference"]

Embedding = Literal["clap", "mert", "mert-max", "mert-all-layers", "muq", "mel"]
"""`mert` as TuneJury's heads read it, the mean over time of the last layer; its maximum over time; the mean over all
layers and time. The others as `--encoders` names them."""


@dataclass(frozen=True)
class Selection:
    """Which clips of a feature store: those that meet every condition in some pair."""

    source: str | None = None
    """Of this data set."""
    system: str | None = None
    """Made by this system."""
    side: Literal["a", "b"] | None = None
    """On this side of the pair."""
    split: Literal["train", "valid", "test"] | None = None
    """In this split."""
    ids: Path | None = None
    """Named in this file, one key (source/path) a line."""


def require_reference(location: str | None) -> None:
    """Raises a ValueError if a reference set was named and is not there; what lies behind a URL is not looked at."""
    if location and "://" not in location and not Path(location).exists():
        raise ValueError(f"reference: there is no {location}, expected a folder or a feature store")
