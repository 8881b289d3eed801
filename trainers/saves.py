"""The state of heads in training, kept so that a killed run continues to the same weights, bit for bit.

A save holds the members (weights, optimiser, best weights, epoch) and their histories. The order of the pairs and
dropout follow from seed and epoch, so there is no more to keep. Orbax writes a save beside the old one and renames it
when it is whole.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from trainers.population import EpochMetrics, Member
from trainers.recipe import Recipe
from tunejury_jax.documents import as_json

__all__ = ["EpochValues", "History", "Saved", "Saves"]

DUTY = 40
"""At most a fortieth of the time is spent on saving, so that a whole sweep keeps below a twentieth of bookkeeping."""


class EpochValues(NamedTuple):
    """What was measured of one head in one epoch."""

    train_loss: float
    valid_loss: float
    valid_accuracy: float
    valid_score: float


@dataclass
class History:
    """What the host knows of a head in training."""

    epochs: list[EpochValues] = field(default_factory=list)
    seconds: float = 0.0
    pruned: bool = False

    def add(self, metrics: EpochMetrics, seconds: float) -> None:
        """Adds an epoch that took so long."""
        self.epochs.append(EpochValues(*(float(value) for value in metrics[: len(EpochValues._fields)])))
        self.seconds += seconds

    @property
    def finite(self) -> bool:
        """Whether the losses of the last epoch are."""
        return math.isfinite(self.epochs[-1].train_loss) and math.isfinite(self.epochs[-1].valid_loss)

    @property
    def lowest(self) -> float:
        """The lowest validation loss so far, in nats a pair."""
        return min(values.valid_loss for values in self.epochs)


class Saved(NamedTuple):
    """One head in training."""

    member: Member
    history: History


class Saves:
    """The latest save of a run."""

    def __init__(self, folder: Path, every_s: float) -> None:
        options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)
        self._every_s = self._wait_s = every_s
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= self._wait_s

    def save(self, heads: Mapping[int, Saved], recipes: Mapping[int, Recipe]) -> None:
        """Replaces the save by these heads."""
        started = time.monotonic()
        members = {str(number): head.member for number, head in heads.items()}
        notes = {str(n): {"history": asdict(head.history), "recipe": asdict(recipes[n])} for n, head in heads.items()}
        items = {"members": ocp.args.StandardSave(members), "notes": ocp.args.JsonSave(notes)}
        self._manager.save((self._manager.latest_step() or 0) + 1, args=ocp.args.Composite(**items))
        self._last = time.monotonic()
        self._wait_s = max(self._every_s, DUTY * (self._last - started))

    def restore(self, recipes: Mapping[int, Recipe], start: Callable[[int], Member]) -> dict[int, Saved]:
        """The heads of these recipes as they were saved; none if any of them was not.

        Args:
            recipes: What is to be continued, by number.
            start: Makes a fresh member, for its structure.
        """
        step = self._manager.latest_step()
        if step is None:
            return {}
        notes = self._manager.restore(step, args=ocp.args.Composite(notes=ocp.args.JsonRestore()))["notes"]
        if any(notes.get(str(n), {}).get("recipe") != as_json(asdict(recipe)) for n, recipe in recipes.items()):
            return {}
        shape = jax.eval_shape(lambda: start(next(iter(recipes))))
        restore = ocp.args.StandardRestore(dict.fromkeys(notes, shape))
        members = self._manager.restore(step, args=ocp.args.Composite(members=restore))["members"]
        return {number: Saved(members[str(number)], _history(notes[str(number)])) for number in recipes}

    def clear(self) -> None:
        """Removes the save: all its heads have ended."""
        for step in self._manager.all_steps():
            self._manager.delete(step)

    def __enter__(self) -> "Saves":
        return self

    def __exit__(self, *error: object) -> None:
        self._manager.close()


def _history(notes: Mapping[str, Any]) -> History:
    history = notes["history"]
    return History([EpochValues(*values) for values in history["epochs"]], history["seconds"], history["pruned"])
