"""The weights that a run keeps: its best heads, each a checkpoint, and `best/`, a copy of the best of them."""

import math
import os
import shutil
from pathlib import Path

from trainers.run_folder import RunFolder
from tunejury_jax.checkpoint import MAX_CONFIG_BYTES, Checkpoint, recover
from tunejury_jax.documents import read_object

__all__ = ["KeptHeads"]


class KeptHeads:
    """Up to so many heads of a run folder; all of them where no number is given.

    Its state is what lies in the folder, so a run that was killed goes on as it would have.
    """

    def __init__(self, folder: RunFolder, keep: int | None) -> None:
        self._folder, self._keep = folder, keep
        folder.heads.mkdir(exist_ok=True)
        _tidy(folder.heads)
        self._losses = {int(place.name): _loss(place) for place in folder.heads.iterdir() if place.name.isdigit()}
        self._best = self._best_on_disk()
        self._drop_worst()

    @property
    def numbers(self) -> list[int]:
        """The trials whose weights are there, best first; the earlier one where two are equal."""
        return sorted(self._losses, key=lambda number: (self._losses[number], number))

    def add(self, number: int, checkpoint: Checkpoint, *, contender: bool = True) -> None:
        """Keeps a head if it is among the best so far.

        Called before its trial is recorded as ended: a run that is killed in between trains it again, and never
        lists a trial as best whose weights are lost.

        Args:
            number: Of its trial.
            checkpoint: Its weights, and its validation loss among its metrics.
            contender: Whether it may be the best of the run.
        """
        place = float(checkpoint.metrics["valid_loss"]), number
        if contender and place < self._best:
            checkpoint.save(self._folder.best)
            self._best = place
        self._losses[number] = place[0]
        if number in self.numbers[: self._keep]:
            checkpoint.save(self._folder.heads / str(number))
        self._drop_worst()

    def _best_on_disk(self) -> tuple[float, float | int]:
        """Loss and number of the head in `best/`, whose number is that of the head of its loss."""
        if not self._folder.best.exists():
            return math.inf, math.inf
        loss = _loss(self._folder.best)
        return loss, min((number for number in self._losses if self._losses[number] == loss), default=math.inf)

    def _drop_worst(self) -> None:
        for number in self.numbers[self._keep :] if self._keep else []:
            del self._losses[number]
            _remove(self._folder.heads / str(number))


def _tidy(heads: Path) -> None:
    """Puts back what a killed save moved away, and removes what it, or a killed removal, left over."""
    for old in heads.glob(".*.old"):
        recover(heads / old.name.removeprefix(".").removesuffix(".old"))
    for left in heads.glob(".*"):
        shutil.rmtree(left, ignore_errors=True)


def _remove(place: Path) -> None:
    """Removes a checkpoint: at once whole under its name, so that a kill leaves no half of one there."""
    if place.exists():
        gone = place.with_name(f".{place.name}.gone")
        os.replace(place, gone)
        shutil.rmtree(gone)


def _loss(place: Path) -> float:
    return float(read_object(place / "config.json", MAX_CONFIG_BYTES)["metrics"]["valid_loss"])
