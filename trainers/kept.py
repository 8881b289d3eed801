"""The weights that a run keeps: its best heads, each a checkpoint, and `best/`, a copy of the best of them."""

import math
import shutil
from pathlib import Path

from trainers.run_folder import RunFolder
from tunejury_jax.checkpoint import MAX_CONFIG_BYTES, Checkpoint, recover
from tunejury_jax.documents import read_object

__all__ = ["KeptHeads"]


class KeptHeads:
    """Up to so many heads of a run folder; all of them where no number is given."""

    def __init__(self, folder: RunFolder, keep: int | None) -> None:
        self._folder, self._keep = folder, keep or math.inf
        folder.heads.mkdir(exist_ok=True)
        for place in folder.heads.glob(".*.old"):  # a save that was killed
            recover(folder.heads / place.name.removeprefix(".").removesuffix(".old"))
        self._losses = {int(place.name): _loss(place) for place in folder.heads.iterdir() if place.name.isdigit()}
        self._best = _loss(folder.best) if folder.best.exists() else math.inf

    @property
    def numbers(self) -> list[int]:
        """The trials whose weights are there, best first."""
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
        loss = checkpoint.metrics["valid_loss"]
        self._losses[number] = loss
        if self.numbers.index(number) < self._keep:
            checkpoint.save(self._folder.heads / str(number))
        if contender and loss < self._best:
            checkpoint.save(self._folder.best)
            self._best = loss
        if len(self._losses) > self._keep:
            worst = self.numbers[-1]
            del self._losses[worst]
            shutil.rmtree(self._folder.heads / str(worst), ignore_errors=True)


def _loss(place: Path) -> float:
    return float(read_object(place / "config.json", MAX_CONFIG_BYTES)["metrics"]["valid_loss"])
