"""A training run of one head, from its store to its report."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.config import RunConfig
from trainers.data import load_dataset
from trainers.epoch_log import epoch_log
from trainers.fit import Fit, fit
from trainers.live_table import live_table
from trainers.recipe import Recipe
from trainers.results import finish, release, resolved
from trainers.run_folder import RunFolder
from trainers.saves import Saves
from trainers.tracking.trackers import make_trackers
from tunejury_jax.store import FeatureStore

__all__ = ["train"]


def train(config: RunConfig) -> None:
    """Trains one head on a sealed store; a run that was cut off continues from its last save, to the same weights.

    Raises:
        ValueError: The store, the run folder or the data do not fit what was asked; says how.
    """
    store = FeatureStore.open_sealed(config.store)
    dataset = load_dataset(store, config.data)
    folder = RunFolder(Path(config.out))
    folder.claim(resolved(config, store))
    folder.forget_epochs(())
    trackers = make_trackers(config.trackers, folder.path, dataclasses.asdict(config))
    with Saves(folder.state, config.save_every_s) as saves, live_table("train", 1, config.train.max_epochs) as table:
        table.start([0])
        log = epoch_log(folder, table, trackers)
        ((_, fitted),) = fit({0: Recipe(config.train, config.data)}, dataset, log, saves=saves)
        table.end(0, fitted.state)
        if fitted.state == "complete":
            release(fitted, dataset, store).save(folder.best)
        trials = [_row(fitted)]
        folder.write_trials(trials)
        saves.clear()
    for tracker in trackers:
        tracker.finish(trials)
    finish(folder, dataset, store, trials)


def _row(fitted: Fit) -> dict[str, Any]:
    """The run as its only trial."""
    shown = ("learning_rate", "weight_decay", "dropout", "label_smoothing", "batch_size", "seed")
    params: Mapping[str, Any] = dataclasses.asdict(fitted.recipe.train)
    failed = fitted.state == "failed"
    return {
        "trial": 0,
        "state": fitted.state,
        "params": {**{name: params[name] for name in shown}, "widths": "-".join(map(str, params["widths"]))},
        "valid_loss": None if failed else fitted.valid_loss,
        "valid_accuracy": None if failed else fitted.valid_accuracy,
        "best_epoch": fitted.best_epoch,
        "epochs": fitted.epochs,
        "seconds": fitted.seconds,
        "error": fitted.error,
    }
