"""What the heads of a preset are worth on held-out pairs."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from trainers.config import SweepConfig
from trainers.data import Dataset
from trainers.evaluation import head_margins
from trainers.presets import k_split, k_universe
from trainers.run_folder import RunFolder
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.metrics import Accuracy, accuracy
from tunejury_jax.progress import progress
from tunejury_jax.store import FeatureStore

__all__ = ["ALL", "Measured", "measure_heads"]

ALL = "all"


class Measured(NamedTuple):
    """One head of a preset, and its accuracy on all test pairs and on those of each source."""

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
    """Measures every finished head of a preset whose weights this run has.

    A head of the K-sweep is measured on the battles of its own seed, every other one on the test split.
    """
    complete = [row for row in rows if row["state"] == "complete" and (folder.heads / str(row["trial"])).exists()]
    splits = _k_tests(config, dataset, store) if any(_of_k_sweep(row) for row in complete) else {}
    test, found = dataset.splits["test"], []
    with progress("measure", len(complete), "heads") as advance:
        for row in complete:
            pairs = splits[row["params"]["seed"]] if _of_k_sweep(row) else test
            found += [_measure(row, Checkpoint.load(folder.heads / str(row["trial"])), dataset, pairs)]
            advance(1)
    return found


def _measure(
    row: Mapping[str, Any], checkpoint: Checkpoint, dataset: Dataset, pairs: Int[np.ndarray, " pairs"]
) -> Measured:
    margins = head_margins(checkpoint, dataset, pairs)
    targets, source = np.asarray(dataset.arrays.target)[pairs].astype(np.float64), dataset.source[pairs]
    accuracies = {ALL: accuracy(margins, targets)} if (targets != 0.5).any() else {}
    for code, name in enumerate(dataset.sources):
        if (targets[source == code] != 0.5).any():
            accuracies[name] = accuracy(margins[source == code], targets[source == code])
    return Measured(row["trial"], row["params"]["head"], row["params"]["seed"], row["valid_loss"], accuracies)


def _k_tests(config: SweepConfig, dataset: Dataset, store: FeatureStore) -> dict[int, Int[np.ndarray, " pairs"]]:
    universe, row_of = k_universe(config, store), {name: row for row, name in enumerate(dataset.ids)}
    tests = {seed: k_split(universe, seed)[1] for seed in range(config.seeds)}
    return {seed: np.array([row_of[name] for name in names]) for seed, names in tests.items()}


def _of_k_sweep(row: Mapping[str, Any]) -> bool:
    return row["params"]["head"].startswith("K=")
