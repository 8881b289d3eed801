"""What a head is worth on held-out pairs, against chance and against answers that need no head.

Every number comes with its interval and with the number of pairs behind it; pairs that could not be used are
counted. A trivial rule such as "the louder clip wins" is given its best chance: its direction is chosen on the
training pairs. A temperature is fitted to the validation pairs.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from scipy.stats import binomtest

from trainers.data import Dataset
from trainers.groups import Groups, by_field, by_source, decisive, tied
from trainers.held_out import Judged, Margins, measured, scaled
from trainers.margins import head_margins, judge_head, targets_of
from tunejury_jax.blocks import FACTS, SIGNAL
from tunejury_jax.calibration.temperature import NoTemperatureError, fit_temperature
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.documents import write_whole
from tunejury_jax.metrics import accuracy, mcnemar, outcomes
from tunejury_jax.pairs import Split
from tunejury_jax.store import FeatureStore

__all__ = ["Evaluation", "evaluate", "write_evaluation"]

RULES = {"rms_dbfs": ("louder clip wins", "quieter clip wins"), "duration_s": ("longer clip wins", "shorter clip wins")}

Rows = Int[np.ndarray, " pairs"]


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
        told = {"pair_id": self.pair_ids, "source": self.sources, "target": self.targets.tolist()}
        write_evaluation(folder, self.metrics, told | {"margin": self.margins.tolist()})


def write_evaluation(folder: Path, metrics: Mapping[str, Any], predictions: Mapping[str, Sequence[Any]]) -> None:
    """Writes `metrics.json` and `predictions.csv`, whose columns are given by name."""
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(predictions)
    table.writerows(zip(*predictions.values(), strict=True))
    write_whole(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    write_whole(folder / "predictions.csv", text.getvalue())


def evaluate(
    checkpoint: Checkpoint, dataset: Dataset, store: FeatureStore, split: Split, group_by: str = "question"
) -> Evaluation:
    """Measures a head on one split of a store.

    Args:
        checkpoint: The head.
        dataset: The store's pairs, with at least the checkpoint's blocks.
        store: For file facts, and what is said of the pairs.
        split: Which pairs.
        group_by: Column of the store's pairs by which they are measured apart, too.

    Raises:
        ValueError: The store's features were made by other encoders, the split has no decisive pair, or the column is
            not there.
    """
    checkpoint.require_encoders({n: s.provenance for n, s in dataset.encoders.items()}, store.location)
    dataset = dataset.seen_by(checkpoint.layout)
    rows = dataset.pairs(split)
    groups = by_field(dataset, store, rows, group_by)
    judged, sources = judge_head(checkpoint, dataset, rows), by_source(dataset, rows)
    temperature, absent = _temperature(checkpoint, dataset, split, judged)
    metrics = {
        "split": split,
        "checkpoint": checkpoint.sha256,
        "store": {"location": store.location, "sha256": store.sha256},
        "accuracy": accuracy(judged.margins, judged.targets)._asdict(),
        "chance": _chance(judged),
        **measured(judged),
        "by_source": _parts(judged, sources),
        "group_by": group_by,
        "by_group": {source: _parts(judged, own) for source, own in groups.items()},
        "temperature": temperature,
        "baselines": dict(_baselines(store, dataset, rows, judged.margins)),
        "skipped": dict(dataset.skipped),
        "notes": [*tied(sources, groups, judged.targets), *absent],
    }
    names = tuple(dataset.sources[code] for code in dataset.source[rows])
    return Evaluation(tuple(dataset.ids[row] for row in rows), names, judged.targets, judged.margins, metrics)


def _chance(judged: Judged) -> dict[str, float]:
    found = accuracy(judged.margins, judged.targets)
    decided = found.n_decisive - found.undecided
    return {"value": 0.5, "p": float(binomtest(found.correct, decided).pvalue) if decided else 1.0}


def _parts(judged: Judged, groups: Groups) -> dict[str, dict[str, Any]]:
    found = {name: judged.of(own) for name, own in decisive(groups, judged.targets).items()}
    return {n: {**accuracy(own.margins, own.targets)._asdict(), **measured(own)} for n, own in found.items()}


def _temperature(
    checkpoint: Checkpoint, dataset: Dataset, split: Split, judged: Judged
) -> tuple[dict[str, Any] | None, list[str]]:
    """What a temperature does to these pairs, or why there is none."""
    rows = dataset.splits["valid"]
    if split == "valid" or not len(rows):
        return None, [f"No temperature: it is fitted to split 'valid', which {'this is' if len(rows) else 'is empty'}"]
    try:
        fitted = fit_temperature(head_margins(checkpoint, dataset, rows), targets_of(dataset, rows))
    except NoTemperatureError as error:
        return None, [f"No temperature: on split 'valid' {error}"]
    high = fitted.high if np.isfinite(fitted.high) else None
    return {**fitted._asdict(), "high": high, **scaled(judged, fitted.value)}, []


def _baselines(
    store: FeatureStore, dataset: Dataset, rows: Rows, predicted: Margins
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
