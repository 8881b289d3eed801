"""TensorBoard: a folder of event files for each trial, RUN/tensorboard/TRIAL."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.fit import EpochRow
from trainers.tracking.trial_sinks import Opener

__all__ = ["tensorboard_opener"]

HPARAMS = "hparams"
SCALARS = ("train_loss", "valid_loss", "valid_accuracy")


def tensorboard_opener(module: Any, folder: Path) -> Opener:
    """Opens the event files of trials with `module`, tensorboardX."""
    return lambda trial, epoch: _TensorBoardSink(module, folder / "tensorboard" / str(trial), epoch)


class _TensorBoardSink:
    """The event files of a trial; none is made before there is something to write."""

    def __init__(self, module: Any, folder: Path, epoch: int) -> None:
        self._module, self._folder, self._epoch = module, folder, epoch
        self._writer: Any = None

    def write(self, row: EpochRow) -> None:
        for name in SCALARS:
            self._opened().add_scalar(name, getattr(row, name), row.epoch)

    def end(self, outcome: Mapping[str, Any]) -> None:
        if (self._folder / HPARAMS).exists():  # a finished sweep that was given more trials
            return
        params = {name: _plain(value) for name, value in outcome["params"].items()}
        measured = {name: outcome[name] for name in ("valid_loss", "valid_accuracy")}
        metrics = {f"hparam/{name}": value for name, value in measured.items() if _finite(value)}
        self._opened().add_hparams({**params, "state": outcome["state"]}, metrics, HPARAMS)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _opened(self) -> Any:
        # A trial that was cut off wrote epochs that are now trained again: TensorBoard drops them from `purge_step` on.
        # The suffix keeps a second file of the same second from replacing the first.
        if self._writer is None:
            options = {"purge_step": self._epoch, "filename_suffix": f".{self._epoch}"}
            self._writer = self._module.SummaryWriter(str(self._folder), **options)
        return self._writer


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)


def _finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
