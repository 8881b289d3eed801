"""A run on disk: what was asked, every epoch, every trial, the best heads.

config.json       what was asked, resolved, with versions and the store's identity
worker            this run's name in a storage that several share
study.journal     Optuna's own log of a sweep
state/            heads in training, from which a killed run continues; gone when it has ended
epochs.jsonl      one line an epoch of a trial
trials.jsonl      one line a trial
leaderboard.csv   the finished trials, best first
heads/N/          checkpoint of trial N, for the best of them
best/             checkpoint with the lowest validation loss
test/             its evaluation on held-out pairs
heads.jsonl       of a preset: every head's accuracy on held-out pairs
tables.json       of a preset: its tables
report.html       all of it to look at
"""

import csv
import io
import json
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainers.fit import EpochRow
from tunejury_jax.checkpoint import recover
from tunejury_jax.documents import write_whole
from tunejury_jax.store import difference

__all__ = ["RunFolder", "identity", "ranked"]

FREE = ("trials", "store", "keep", "save_every_s", "trackers", "hosts")
"""What may differ when a run is continued: it may grow, its store is known by its content, not its place, and what is
kept of it or who trains it changes no head."""


class RunFolder:
    """Paths of a run and how its files are written; a run that was killed is continued in place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "study.journal"
        self.state = path / "state"
        self.heads = path / "heads"
        self.best = path / "best"
        self.test = path / "test"
        self.trials = path / "trials.jsonl"
        self.epochs = path / "epochs.jsonl"
        self.leaderboard = path / "leaderboard.csv"
        self.measured = path / "heads.jsonl"
        self.tables = path / "tables.json"

    @property
    def worker(self) -> str:
        """This run's name among those that share a storage; made once."""
        path = self.path / "worker"
        if not path.exists():
            write_whole(path, uuid.uuid4().hex + "\n")
        return path.read_text().strip()

    def claim(self, config: Mapping[str, Any]) -> None:
        """Starts or continues a run.

        Args:
            config: `{"asked": ..., "store": ..., "environment": ...}`; the environment is recorded only.

        Raises:
            ValueError: The folder holds a run that was asked something else; says what differs.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / "config.json"
        if path.exists() and (lines := difference(identity(config), _read_identity(path))):
            raise ValueError(f"{self.path}: holds another run; asked for {'; '.join(lines)}. Choose another --out")
        write_whole(path, json.dumps(config, indent=2) + "\n")
        recover(self.best)

    def log_epoch(self, row: EpochRow) -> None:
        """Adds a line to `epochs.jsonl`."""
        values = row._asdict()
        with self.epochs.open("a") as file:
            file.write(json.dumps({"trial": values.pop("head"), **values}) + "\n")

    def forget_epochs(self, finished: Collection[int]) -> None:
        """Drops the epochs of trials that a killed run left unfinished, and a half-written line."""
        if not self.epochs.exists():
            return
        lines = [line for line in self.epochs.read_text().splitlines() if _trial(line) in finished]
        write_whole(self.epochs, "".join(line + "\n" for line in lines))

    def write_measured(self, heads: Sequence[Mapping[str, Any]], tables: Sequence[Mapping[str, Any]]) -> None:
        """Writes `heads.jsonl` and `tables.json` of a preset."""
        write_whole(self.measured, "".join(json.dumps(head) + "\n" for head in heads))
        write_whole(self.tables, json.dumps(tables, indent=2) + "\n")

    def write_trials(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Writes `trials.jsonl`, and `leaderboard.csv` with the finished trials, lowest validation loss first."""
        write_whole(self.trials, "".join(json.dumps(trial) + "\n" for trial in trials))
        _write_leaderboard(self.leaderboard, ranked(trials))


def ranked(trials: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The finished trials, lowest validation loss first; the earlier one where two are equal."""
    finished = [trial for trial in trials if trial["state"] == "complete"]
    return sorted(finished, key=lambda trial: (trial["valid_loss"], trial["trial"]))


def _write_leaderboard(path: Path, trials: Sequence[Mapping[str, Any]]) -> None:
    columns = ("trial", "valid_loss", "valid_accuracy", "best_epoch", "epochs", "seconds")
    names = sorted({name for trial in trials for name in trial["params"]})
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["rank", *columns, *names])
    for rank, trial in enumerate(trials, start=1):
        params = [trial["params"].get(name, "") for name in names]
        table.writerow([rank, *(trial[column] for column in columns), *params])
    write_whole(path, text.getvalue())


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run's `config.json` must agree for a run to be the same one."""
    asked = {name: value for name, value in config["asked"].items() if name not in FREE}
    return {"asked": asked, "store": config["store"]}


def _read_identity(path: Path) -> dict[str, Any]:
    try:
        return identity(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not the configuration of a run; choose another --out") from error


def _trial(line: str) -> int | None:
    try:
        return json.loads(line)["trial"]
    except (ValueError, KeyError, TypeError):
        return None
