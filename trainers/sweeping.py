"""A sweep from its first batch to its report."""

from pathlib import Path

from trainers.config import SweepConfig
from trainers.data import load_dataset
from trainers.fit import EpochRow, fit
from trainers.results import finish, release, resolved
from trainers.run_folder import RunFolder
from trainers.search import Search
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.progress import Advance, progress
from tunejury_jax.store import FeatureStore

__all__ = ["sweep"]


def sweep(config: SweepConfig, store_location: str) -> None:
    """Runs or continues a sweep on a sealed store.

    Args:
        config: What to search, and the run folder.
        store_location: The store, since `config.store` may be left open.

    Raises:
        ValueError: The store, the run folder or the data do not fit what was asked; says how.
    """
    store = FeatureStore.open_sealed(store_location)
    dataset = load_dataset(store, config.data)
    folder = RunFolder(Path(config.out))
    folder.claim(resolved(config, store))
    search = Search(config, folder.journal)
    folder.forget_epochs(search.finished)
    folder.write_trials(search.rows())  # a run that was killed may have recorded trials without listing them
    with progress("sweep", config.trials, "heads") as advance:
        advance(len(search.finished))
        while trials := search.ask():
            log = _EpochLog(folder, [trial.number for trial in trials], advance)
            fits = fit([search.train_config(trial) for trial in trials], dataset, log)
            keep_best(folder, [release(fitted, dataset, store, config.data) for fitted in fits if not fitted.error])
            for trial, fitted in zip(trials, fits, strict=True):
                search.tell(trial, fitted)
            folder.write_trials(search.rows())
            advance(len(trials))
    finish(folder, dataset, store, search.rows())


def keep_best(folder: RunFolder, candidates: list[Checkpoint]) -> None:
    """Saves the candidate with the lowest validation loss, if it beats the run's best so far.

    Called before the trials are recorded as ended: a run that is killed in between trains them again, and never
    lists a trial whose weights are lost.
    """
    if (folder.best / "config.json").exists():
        candidates = [Checkpoint.load(folder.best), *candidates]
    if candidates:
        best = min(candidates, key=lambda candidate: candidate.metrics["valid_loss"])
        if best is not candidates[0] or not folder.best.exists():
            best.save(folder.best)


class _EpochLog:
    """Writes every epoch of a batch to the run folder and says how the batch goes."""

    def __init__(self, folder: RunFolder, numbers: list[int], advance: Advance) -> None:
        self._folder, self._numbers, self._advance = folder, numbers, advance
        self._best = float("inf")

    def __call__(self, row: EpochRow) -> None:
        self._folder.log_epoch(self._numbers[row.head], row)
        self._best = min(self._best, row.valid_loss)
        self._advance(0, f"batch of {len(self._numbers)}: epoch {row.epoch}, best validation loss {self._best:.4f}")
