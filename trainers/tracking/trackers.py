"""The metrics of a run in further places, chosen by the user: TensorBoard, Weights & Biases.

Their packages are extras, imported only when asked for. Tracking never ends a training: the first failure of a tracker
is said, the training goes on without it, and what was lost is counted.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from trainers.config import TrackerName
from trainers.fit import EpochRow
from trainers.tracking.tensorboard_sink import tensorboard_opener
from trainers.tracking.trial_sinks import TrialSinks
from trainers.tracking.wandb_sink import wandb_opener

__all__ = ["Tracker", "make_trackers"]


@runtime_checkable
class Tracker(Protocol):
    """A place for metrics beside `epochs.jsonl`."""

    def log(self, trial: int, row: EpochRow) -> None:
        """Adds an epoch of a trial."""
        ...

    def finish(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds how the trials ended, as the lines of `trials.jsonl` have it, and closes everything."""
        ...


def make_trackers(names: Sequence[TrackerName], folder: Path, config: Mapping[str, Any]) -> list[Tracker]:
    """The trackers that were asked for.

    Args:
        names: Which.
        folder: Run folder; TensorBoard's files are inside, and Weights & Biases groups its runs by its name.
        config: What was asked; Weights & Biases records it with every run.

    Raises:
        ValueError: A package is not installed; says how to get it.
    """
    return [_Guarded(name, _make(name, folder, config)) for name in dict.fromkeys(names)]


def _make(name: TrackerName, folder: Path, config: Mapping[str, Any]) -> Tracker:
    if name == "tensorboard":
        return TrialSinks(tensorboard_opener(_require(name, "tensorboardX"), folder))
    return TrialSinks(wandb_opener(_require(name, "wandb"), folder, config))


def _require(name: TrackerName, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"trackers: {name!r} needs its extra: pip install 'tunejury-jax[{name}]'") from error


class _Guarded:
    """Keeps the failures of a tracker away from the training, and says what was lost."""

    def __init__(self, name: TrackerName, tracker: Tracker) -> None:
        self._name, self._tracker = name, tracker
        self._failed, self._lost = False, 0

    def log(self, trial: int, row: EpochRow) -> None:
        self._try(self._tracker.log, trial, row)
        self._lost += self._failed

    def finish(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._try(self._tracker.finish, rows)
        if self._failed:
            _warn(
                f"{self._name} lacks {self._lost} epochs and how the trials ended; epochs.jsonl and trials.jsonl do not"
            )

    def _try(self, call: Callable[..., None], *values: Any) -> None:
        if self._failed:
            return
        try:
            call(*values)
        except Exception as error:
            self._failed = True
            _warn(f"tracking by {self._name} stops, the run goes on without it: {type(error).__name__}: {error}")


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)
