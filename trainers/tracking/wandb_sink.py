"""Weights & Biases: a run for each trial, grouped by the run folder.

Where the numbers go is the user's environment: WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY. A trial keeps its id when its
run is continued. The service takes no step that is not later than those it has, so an epoch that is trained again
keeps its first values.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.fit import EpochRow
from trainers.tracking.trial_sinks import Opener

__all__ = ["wandb_opener"]

PROJECT = "tunejury-jax"
OUTCOME = ("state", "valid_loss", "valid_accuracy", "best_epoch", "epochs", "seconds", "error")


def wandb_opener(module: Any, folder: Path, config: Mapping[str, Any]) -> Opener:
    """Opens the runs of trials with `module`, wandb; each records `config`."""

    def opened(trial: int, epoch: int) -> _WandbSink:
        run = module.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=folder.resolve().name,
            name=f"trial {trial}",
            id=hashlib.sha256(f"{folder.resolve()}/{trial}".encode()).hexdigest()[:16],
            dir=str(folder),
            config=dict(config),
            resume="allow",
            reinit="create_new",  # beside the runs of the other trials, from wandb 0.19.10 on
            settings=module.Settings(silent=True, console="off"),  # the terminal belongs to the live table
        )
        return _WandbSink(run)

    return opened


class _WandbSink:
    """The run of a trial."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def write(self, row: EpochRow) -> None:
        values = {"train_loss": row.train_loss, "valid_loss": row.valid_loss, "valid_accuracy": row.valid_accuracy}
        self._run.log(values, step=row.epoch)

    def end(self, outcome: Mapping[str, Any]) -> None:
        self._run.config.update({"params": dict(outcome["params"])}, allow_val_change=True)
        self._run.summary.update({f"trial/{name}": outcome[name] for name in OUTCOME})

    def close(self) -> None:
        self._run.finish()
