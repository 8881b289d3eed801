"""A training run of one head, from its store to its report."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.config import RunConfig
from trainers.data import load_dataset
from trainers.fit import EpochRow, Fit, fit
from trainers.results import finish, release, resolved
from trainers.run_folder import RunFolder
from tunejury_jax.progress import progress
from tunejury_jax.store import FeatureStore

__all__ = ["train"]


def train(config: RunConfig) -> None:
    """Trains one head on a sealed store; a run that was cut off starts again from its first epoch.

    Raises:
        ValueError: The store, the run folder or the data do not fit what was asked; says how.
    """
    store = FeatureStore.open_sealed(config.store)
    dataset = load_dataset(store, config.data)
    folder = RunFolder(Path(config.out))
    folder.claim(resolved(config, store))
    folder.forget_epochs(())
    with progress("train", config.train.max_epochs, "epochs") as advance:

        def log(row: EpochRow) -> None:
            folder.log_epoch(0, row)
            advance(1, f"validation loss {row.valid_loss:.4f}, accuracy {row.valid_accuracy:.4f}")

        (fitted,) = fit([config.train], dataset, log)
    if not fitted.error:
        release(fitted, dataset, store, config.data).save(folder.best)
    trials = [_row(fitted)]
    folder.write_trials(trials)
    finish(folder, dataset, store, trials)


def _row(fitted: Fit) -> dict[str, Any]:
    """The run as its only trial."""
    shown = ("learning_rate", "weight_decay", "dropout", "label_smoothing", "batch_size", "seed")
    params: Mapping[str, Any] = dataclasses.asdict(fitted.config)
    return {
        "trial": 0,
        "state": "failed" if fitted.error else "complete",
        "params": {**{name: params[name] for name in shown}, "widths": "-".join(map(str, params["widths"]))},
        "valid_loss": None if fitted.error else fitted.valid_loss,
        "valid_accuracy": None if fitted.error else fitted.valid_accuracy,
        "best_epoch": fitted.best_epoch,
        "epochs": fitted.epochs,
        "seconds": fitted.seconds,
        "error": fitted.error,
    }
