"""Where a reward stands among the released scores of music collections.

A score has no unit and no zero; "higher than 83 % of what is in FMA" can be read. This holds only for scores of one
head: another head's have another offset. A table keeps at most 1000 scores of each collection, evenly spaced by rank.
No table is shipped, since the published scores are CC-BY-NC: `tunejury percentiles build` makes one of them.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from tunejury_jax.documents import read_object, write_whole
from tunejury_jax.errors import one_of
from tunejury_jax.released_scores import read_record, read_scores

__all__ = ["Distribution", "Percentiles"]

FORMAT, VERSION = "tunejury-percentiles", 1
KEPT = 1000
MAX_BYTES = 32 << 20


@dataclass(frozen=True)
class Distribution:
    """Scores of one collection.

    Attributes:
        n: How many tracks there are.
        mean: Of all of them.
        std: Population standard deviation of all of them.
        kept: At most 1000 of them, ascending; all of them where there are no more.
        checkpoint: sha256 of the head that scored them; None where nobody says.
    """

    n: int
    mean: float
    std: float
    kept: Float64[np.ndarray, " kept"]
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        kept, expected = self.kept, min(self.n, KEPT)
        if self.n < 1 or len(kept) != expected or not np.isfinite(kept).all() or (np.diff(kept) < 0).any():
            raise ValueError(f"kept: expected {expected} finite scores of {self.n}, ascending, got {len(kept)}")

    @classmethod
    def of_scores(cls, scores: Float64[np.ndarray, " tracks"], checkpoint: str | None = None) -> "Distribution":
        """Keeps the scores of rank floor((j + 1/2) n / m) for j = 0 .. m - 1, where m = min(n, 1000)."""
        n, kept = len(scores), min(len(scores), KEPT)
        ranks = (2 * np.arange(kept) + 1) * n // (2 * kept) if n else np.zeros(0, int)
        return cls(n, float(scores.mean()), float(scores.std()), np.sort(scores)[ranks], checkpoint)

    def percentile(self, reward: float) -> float:
        """The mid-rank of a reward, in percent.

        100 (#{s < reward} + #{s = reward} / 2) / n, over the scores that are kept: exact for a collection of at most
        1000 tracks, within 0.05 of the whole collection's for any other.

        Raises:
            ValueError: The reward is not finite.
        """
        if not math.isfinite(reward):
            raise ValueError(f"reward: got {reward}, expected a finite number")
        below, up_to = (np.searchsorted(self.kept, reward, side=side) for side in ("left", "right"))
        return float(50 * (below + up_to) / len(self.kept))


@dataclass(frozen=True)
class Percentiles:
    """Score distributions by the name of their collection."""

    collections: Mapping[str, Distribution]

    def __post_init__(self) -> None:
        if not self.collections:
            raise ValueError("collections: got none, expected at least one")
        if len(heads := {each.checkpoint for each in self.collections.values()} - {None}) > 1:
            raise ValueError(f"collections: were scored by {len(heads)} heads, whose scores cannot be compared")

    def of(self, reward: float, collection: str | None = None) -> float:
        """The percentile of a reward, from 0 to 100; see `Distribution.percentile`.

        Args:
            reward: Of the head that scored the collections.
            collection: Its name; None for all collections as one, in which every track counts once and so the large
                collections count most.

        Raises:
            ValueError: No such collection, or the reward is not finite.
        """
        if collection is not None:
            return self.collections[one_of("collection", collection, tuple(self.collections))].percentile(reward)
        every = self.collections.values()
        return sum(each.n * each.percentile(reward) for each in every) / sum(each.n for each in every)

    def require_checkpoint(self, sha256: str) -> None:
        """Refuses a head that is known not to be the one that scored the collections."""
        for name, each in self.collections.items():
            if each.checkpoint not in (None, sha256):
                raise ValueError(
                    f"percentiles: {name} was scored by head {each.checkpoint[:12]}, not {sha256[:12]}; "
                    "scores of different heads cannot be compared"
                )

    @classmethod
    def build(cls, tables: Iterable[Path]) -> "Percentiles":
        """Reads tables of released scores; a collection is called as its file is, up to `_scores`.

        Raises:
            ValueError: A table cannot be used, or two are called the same.
        """
        collections: dict[str, Distribution] = {}
        for path in tables:
            name = path.stem.partition("_scores")[0]
            if name in collections:
                raise ValueError(f"{path}: there is a table of collection {name!r} already")
            scores = np.array(list(read_scores(path).values()), np.float64)
            collections[name] = Distribution.of_scores(scores, read_record(path).get("checkpoint"))
        return cls(collections)

    def save(self, path: Path) -> None:
        """Writes the table as JSON, as a whole or not at all."""
        collections = {name: vars(each) | {"kept": each.kept.tolist()} for name, each in self.collections.items()}
        document = {"format": FORMAT, "version": VERSION, "collections": collections}
        write_whole(path, json.dumps(document) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Percentiles":
        """Reads and checks a table.

        Raises:
            ValueError: Not such a table, of another version, or damaged; names the collection.
        """
        document = read_object(path, MAX_BYTES)
        if (document.get("format"), document.get("version")) != (FORMAT, VERSION):
            raise ValueError(f"{path}: not a table of {FORMAT} version {VERSION}; make one: tunejury percentiles build")
        found = document.get("collections")
        if not isinstance(found, dict):
            raise ValueError(f"{path}: collections: expected an object, got {found!r}")
        return cls({name: _distribution(f"{path}: {name}", fields) for name, fields in found.items()})


def _distribution(label: str, fields: Any) -> Distribution:
    try:
        kept = np.array(fields["kept"], np.float64).reshape(-1)
        n, mean, std = int(fields["n"]), float(fields["mean"]), float(fields["std"])
        checkpoint = fields["checkpoint"]
        return Distribution(n, mean, std, kept, None if checkpoint is None else str(checkpoint))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{label}: damaged: {error!r}") from error
