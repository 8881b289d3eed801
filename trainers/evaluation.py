"""What a head is worth on held-out pairs, against chance and against answers that need no head.

Every number comes with its interval and with the number of pairs behind it; pairs that could not be used are
counted. A trivial rule such as "the louder clip wins" is given its best chance: its direction is chosen on the
training pairs.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.stats import binomtest

from trainers.data import Arrays, Dataset
from trainers.population import scores
from trainers.view import View, view_whole
from tunejury_jax.blocks import FACTS, SIGNAL
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.head import Head, Variables, split_input
from tunejury_jax.metrics import (
    Accuracy,
    accuracy,
    bootstrap,
    expected_calibration_error,
    log_loss,
    mcnemar,
    outcomes,
    reliability,
)
from tunejury_jax.pairs import Split
from tunejury_jax.store import FeatureStore

__all__ = ["Evaluation", "accuracy_by_source", "evaluate", "head_margins"]

RULES = {"rms_dbfs": ("louder clip wins", "quieter clip wins"), "duration_s": ("longer clip wins", "shorter clip wins")}

Margins = Float[np.ndarray, " pairs"]


@dataclass(frozen=True)
class Evaluation:
    """Margins of a head on a split and everything measured from them."""

    pair_ids: tuple[str, ...]
    sources: tuple[str, ...]
    targets: Margins
    margins: Margins
    metrics: Mapping[str, Any]

    def save(self, folder: Path) -> None:
        """Writes `metrics.json` and `predictions.csv`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.json").write_text(json.dumps(self.metrics, indent=2) + "\n")
        with (folder / "predictions.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["pair_id", "source", "target", "margin"])
            table.writerows(zip(self.pair_ids, self.sources, self.targets.tolist(), self.margins.tolist(), strict=True))


def evaluate(checkpoint: Checkpoint, dataset: Dataset, store: FeatureStore, split: Split) -> Evaluation:
    """Measures a head on one split of a store.

    Args:
        checkpoint: The head.
        dataset: The store's pairs, with at least the checkpoint's blocks.
        store: For file facts.
        split: Which pairs.

    Raises:
        ValueError: The store's features were made by other encoders, or the split has no decisive pair.
    """
    checkpoint.require_encoders({n: s.provenance for n, s in dataset.encoders.items()}, store.location)
    dataset = dataset.seen_by(checkpoint.layout)
    rows = dataset.pairs(split)
    targets = np.asarray(dataset.arrays.target)[rows].astype(np.float64)
    predicted = head_margins(checkpoint, dataset, rows)
    sources = tuple(dataset.sources[code] for code in dataset.source[rows])
    metrics = {
        "split": split,
        "checkpoint": checkpoint.sha256,
        "store": {"location": store.location, "sha256": store.sha256},
        **_measure(predicted, targets),
        "by_source": {n: found._asdict() for n, found in accuracy_by_source(predicted, dataset, rows).items()},
        "baselines": dict(_baselines(store, dataset, rows, predicted)),
        "skipped": dict(dataset.skipped),
    }
    return Evaluation(tuple(dataset.ids[row] for row in rows), sources, targets, predicted, metrics)


def head_margins(checkpoint: Checkpoint, dataset: Dataset, rows: Int[np.ndarray, " pairs"]) -> Margins:
    """s(A) - s(B) of some pairs; of an ensemble, the mean of its members' margins.

    Args:
        checkpoint: The head.
        dataset: Holds at least its blocks.
        rows: Which pairs.

    Raises:
        ValueError: The data set lacks a block.
    """
    dataset = dataset.seen_by(checkpoint.layout)
    # A head trained without some source's prompts is measured so too.
    view = view_whole(dataset, checkpoint.training.get("data", {}).get("zero_prompt_sources", []))
    found = _scores(Head(checkpoint.head.widths), checkpoint.stacked, dataset, jnp.asarray(rows), view)
    means = np.asarray(found).astype(np.float64).mean(axis=0)
    return means[:, 0] - means[:, 1]


def accuracy_by_source(margins: Margins, dataset: Dataset, rows: Int[np.ndarray, " pairs"]) -> dict[str, Accuracy]:
    """Accuracy on the pairs of each source that has a decisive one among them, in the order of the store.

    Args:
        margins: Of these pairs.
        dataset: Has their answers and sources.
        rows: Which pairs.
    """
    targets, source = np.asarray(dataset.arrays.target)[rows].astype(np.float64), dataset.source[rows]
    of_source = {name: source == code for code, name in enumerate(dataset.sources)}
    decisive = {name: own for name, own in of_source.items() if (targets[own] != 0.5).any()}
    return {name: accuracy(margins[own], targets[own]) for name, own in decisive.items()}


def _scores(
    head: Head, stacked: Variables, dataset: Dataset, rows: Int[Array, " pairs"], view: View
) -> Float[Array, "members pairs 2"]:
    dims = [block.dim for block in dataset.layout.blocks]
    return _jitted_scores(head, jax.vmap(lambda one: split_input(one, dims))(stacked), dataset.arrays, rows, view)


@partial(jax.jit, static_argnums=0)
def _jitted_scores(
    head: Head, stacked: Variables, arrays: Arrays, rows: Int[Array, " pairs"], view: View
) -> Float[Array, "members pairs 2"]:
    return jax.vmap(lambda variables: scores(head, variables, arrays, rows, view))(stacked)


def _measure(predicted: Margins, targets: Margins) -> dict[str, Any]:
    whole = accuracy(predicted, targets)
    decided = (
        binomtest(whole.correct, whole.n_decisive - whole.undecided) if whole.n_decisive > whole.undecided else None
    )
    bins, decisive = reliability(predicted, targets), targets != 0.5
    return {
        "accuracy": whole._asdict(),
        "chance": {"value": 0.5, "p": float(decided.pvalue) if decided else 1.0},
        "log_loss": _with_interval(log_loss, predicted, targets),
        # Ties have no part in it; drawn anew with them, a small split could come to nothing but ties.
        "ece": _with_interval(_ece, predicted[decisive], targets[decisive]),
        "bins": [row._asdict() for row in bins],
    }


def _ece(predicted: Margins, targets: Margins) -> float:
    return expected_calibration_error(reliability(predicted, targets))


def _with_interval(statistic: Callable[..., float], predicted: Margins, targets: Margins) -> dict[str, float]:
    low, high = bootstrap(statistic, predicted, targets)
    return {"value": statistic(predicted, targets), "low": low, "high": high}


def _baselines(
    store: FeatureStore, dataset: Dataset, rows: Int[np.ndarray, " pairs"], predicted: Margins
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rules that look at one fact of the files, where a store has facts, and training pairs that give a rule its
    direction; p is McNemar's against the head."""
    if SIGNAL.name not in store.plan.encoders or not dataset.decisive("train"):
        return
    facts = np.nan_to_num(store.load(SIGNAL.name).values.astype(np.float64))
    index, target = np.asarray(dataset.arrays.index), np.asarray(dataset.arrays.target).astype(np.float64)
    for fact, (more, less) in RULES.items():
        values = facts[:, FACTS.index(fact)]
        difference = values[index[:, 0]] - values[index[:, 1]]
        if not difference[rows].any():
            continue  # all alike, so there is nothing the rule could decide by
        train = dataset.splits["train"]
        sign = -1.0 if outcomes(difference[train], target[train]).mean() < 0.5 else 1.0
        guess = sign * difference[rows]
        test = mcnemar(outcomes(predicted, target[rows]) == 1, outcomes(guess, target[rows]) == 1)
        rule = f"{fact} of the files alone; direction chosen on the training pairs"
        yield (more if sign > 0 else less), {**accuracy(guess, target[rows])._asdict(), "p": test.p, "rule": rule}
