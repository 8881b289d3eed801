"""What the heads of a preset are worth on held-out pairs."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from trainers.config import SweepConfig
from trainers.data import Dataset
from trainers.groups import accuracies, by_source
from trainers.k_sweep import added, k_split, k_universe
from trainers.margins import head_margins, targets_of
from trainers.run_folder import RunFolder
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.metrics import Accuracy, accuracy
from tunejury_jax.progress import progress
from tunejury_jax.store import FeatureStore

__all__ = ["ALL", "EARLIER", "Measured", "measure_heads"]

ALL, EARLIER = "all", "earlier test pairs"

Rows = Int[np.ndarray, " pairs"]


class Measured(NamedTuple):
    """One head of a preset, and its accuracy on all its held-out pairs and on those of each source with a winner."""

    trial: int
    head: str
    seed: int
    valid_loss: float
    accuracy: dict[str, Accuracy]

    def line(self) -> dict[str, Any]:
        """The head as a line of `heads.jsonl`."""
        return {**self._asdict(), "accuracy": {name: found._asdict() for name, found in self.accuracy.items()}}


def measure_heads(
    folder: RunFolder, config: SweepConfig, rows: Sequence[Mapping[str, Any]], dataset: Dataset, store: FeatureStore
) -> list[Measured]:
    """Measures every finished head of a preset whose weights this run has, if there are pairs to measure it on.

    A head of the K-sweep is measured on the battles of its own seed, and on the test pairs of the sources that it was
    trained on, which it may have forgotten; every other one on the test split.
    """
    complete = [row for row in rows if row["state"] == "complete" and (folder.heads / str(row["trial"])).exists()]
    swept = {row["trial"] for row in complete if added(row["params"]["head"]) is not None}
    battles = _battles(config, dataset, store) if swept else {}
    judged = [row for row in complete if row["trial"] in swept or dataset.decisive("test")]
    found = []
    with progress("measure", len(judged), "heads") as advance:
        for row in judged:
            pairs = battles[row["params"]["seed"]] if row["trial"] in swept else dataset.splits["test"]
            checkpoint = Checkpoint.load(folder.heads / str(row["trial"]))
            head = _measure(row, checkpoint, dataset, pairs)
            found += [_with_earlier(head, checkpoint, dataset) if row["trial"] in swept else head]
            advance(1)
    return found


def _measure(row: Mapping[str, Any], checkpoint: Checkpoint, dataset: Dataset, pairs: Rows) -> Measured:
    margins, targets = head_margins(checkpoint, dataset, pairs), targets_of(dataset, pairs)
    found = {ALL: accuracy(margins, targets), **accuracies(margins, targets, by_source(dataset, pairs))}
    return Measured(row["trial"], row["params"]["head"], row["params"]["seed"], row["valid_loss"], found)


def _with_earlier(head: Measured, checkpoint: Checkpoint, dataset: Dataset) -> Measured:
    left_out = checkpoint.training.get("data", {}).get("leave_out", ())
    names = np.array(dataset.sources)[dataset.source]
    pairs = dataset.splits["test"][~np.isin(names[dataset.splits["test"]], list(left_out))]
    targets = targets_of(dataset, pairs)
    if not (targets != 0.5).any():
        return head
    found = accuracy(head_margins(checkpoint, dataset, pairs), targets)
    return head._replace(accuracy=head.accuracy | {EARLIER: found})


def _battles(config: SweepConfig, dataset: Dataset, store: FeatureStore) -> dict[int, Rows]:
    """Pairs that the heads of each seed of the K-sweep are measured on."""
    universe = k_universe(config.increment, store)
    row_of = {name: row for row, name in enumerate(dataset.ids)}
    tests = {seed: k_split(universe, seed)[1] for seed in range(config.seeds)}
    return {seed: np.array([row_of[name] for name in names]) for seed, names in tests.items()}
