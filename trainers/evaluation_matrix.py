"""Several heads on the same held-out pairs: trained on x tested on, and what the training pairs of a source are worth.

    gain of d = accuracy(full) - accuracy(trained without d) on the test pairs of d;   gain' the same on all test pairs

What a head was trained without is what its training record says. It is compared with the head that left nothing out:
if there are several, with the one of the same recipe and seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trainers.data import Dataset
from trainers.evaluation import write_evaluation
from trainers.groups import Groups, accuracies, by_field, by_source, decisive, tied
from trainers.held_out import Margins, compared
from trainers.margins import head_margins, targets_of
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.metrics import accuracy
from tunejury_jax.pairs import Split
from tunejury_jax.store import FeatureStore, difference

__all__ = ["Matrix", "evaluate_heads", "load_heads"]

FREE = ("leave_out", "clean_valid")
"""Of the data a head was trained on, what may differ between a head and the one it is compared with."""


@dataclass(frozen=True)
class Matrix:
    """Margins of several heads on a split and everything measured from them."""

    predictions: Mapping[str, Sequence[Any]]
    metrics: Mapping[str, Any]

    def save(self, folder: Path) -> None:
        """Writes `metrics.json` and `predictions.csv`."""
        write_evaluation(folder, self.metrics, self.predictions)


def load_heads(given: Sequence[str]) -> dict[str, Checkpoint]:
    """Loads checkpoints that are given as `folder` or `name=folder`, by name; without one, the folder is the name.

    Raises:
        ValueError: A name or a head occurs twice, or a folder holds no checkpoint.
    """
    heads: dict[str, Checkpoint] = {}
    known: dict[str, str] = {}
    for name, folder in map(_named, given):
        head = Checkpoint.load(folder)
        if head.sha256 in known:
            raise ValueError(f"checkpoint: {name!r} is the same head as {known[head.sha256]!r}, accepted is each once")
        if name in heads:
            raise ValueError(f"checkpoint: the name {name!r} is given to two heads")
        heads[name], known[head.sha256] = head, name
    return heads


def evaluate_heads(
    heads: Mapping[str, Checkpoint], dataset: Dataset, store: FeatureStore, split: Split, group_by: str = "question"
) -> Matrix:
    """Measures heads of one layout on one split of a store.

    Args:
        heads: By name.
        dataset: The store's pairs, with at least the heads' blocks.
        store: Where they are from.
        split: Which pairs.
        group_by: Column of the store's pairs by which they are measured apart, too.

    Raises:
        ValueError: The heads are not of one layout, or one does not fit the store; or as `evaluation.evaluate`.
    """
    for name, head in heads.items():
        _require_alike(name, head, next(iter(heads.values())))
        head.require_encoders({n: s.provenance for n, s in dataset.encoders.items()}, store.location)
    dataset = dataset.seen_by(next(iter(heads.values())).layout)
    rows = dataset.pairs(split)
    groups, targets = by_field(dataset, store, rows, group_by), targets_of(dataset, rows)
    margins = {name: head_margins(head, dataset, rows) for name, head in heads.items()}
    without = {name: _left_out(name, head) for name, head in heads.items()}
    reference = {name: _reference(name, heads, without) for name in heads}
    test = _Test(heads, without, reference, margins, targets, by_source(dataset, rows), groups)
    metrics = {
        "split": split,
        "store": {"location": store.location, "sha256": store.sha256},
        "group_by": group_by,
        "heads": [_measured(name, test) for name in heads],
        "skipped": dict(dataset.skipped),
        "notes": [*tied(test.sources, groups, targets), *(note for name in heads for note in _notes(name, test))],
    }
    told = {
        "pair_id": [dataset.ids[row] for row in rows],
        "source": [dataset.sources[code] for code in dataset.source[rows]],
        "target": targets.tolist(),
        **{f"margin of {name}": values.tolist() for name, values in margins.items()},
    }
    return Matrix(told, metrics)


class _Test(NamedTuple):
    """Heads by name: what each was trained without, the one it is compared with, and its margins; then the pairs."""

    heads: Mapping[str, Checkpoint]
    without: Mapping[str, list[str] | None]
    reference: Mapping[str, str | None]
    margins: Mapping[str, Margins]
    targets: Margins
    sources: Groups
    groups: Mapping[str, Groups]


def _named(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    return (name, Path(folder)) if equals and not Path(text).exists() else (text, Path(text))


def _require_alike(name: str, head: Checkpoint, first: Checkpoint) -> None:
    if lines := difference(list(head.layout.names), list(first.layout.names), "layout"):
        raise ValueError(f"checkpoint: {name!r} cannot be compared with the first: {lines[0]}")
    as_ties = [bool(one.training.get("data", {}).get("both_bad_as_tie")) for one in (head, first)]
    if as_ties[0] != as_ties[1]:
        raise ValueError(f"checkpoint: {name!r} cannot be compared with the first: data.both_bad_as_tie differs")


def _measured(name: str, test: _Test) -> dict[str, Any]:
    def of(groups: Groups) -> dict[str, Any]:
        return {n: found._asdict() for n, found in accuracies(test.margins[name], test.targets, groups).items()}

    return {
        "name": name,
        "checkpoint": test.heads[name].sha256,
        "trained_without": test.without[name],
        "reference": test.reference[name],
        "accuracy": accuracy(test.margins[name], test.targets)._asdict(),
        "by_source": of(test.sources),
        "by_group": {source: of(own) for source, own in test.groups.items()},
        **_gains(name, test),
    }


def _gains(name: str, test: _Test) -> dict[str, Any]:
    without, reference = test.without[name], test.reference[name]
    if without is None or reference is None:
        return {"gain": None, "gain_all": None}

    def gain(own: np.ndarray) -> dict[str, Any]:
        return compared(test.margins[reference][own], test.margins[name][own], test.targets[own])

    own = decisive(test.sources, test.targets).get(without[0]) if len(without) == 1 else None
    on_own = None if own is None else gain(own)
    return {"gain": on_own, "gain_all": gain(np.ones(len(test.targets), bool))}


def _left_out(name: str, head: Checkpoint) -> list[str] | None:
    """The sources that a head was trained without; None where its record does not say."""
    data = head.training.get("data", {})
    if "leave_out" not in data:
        return None
    found = data["leave_out"]
    if not isinstance(found, list | tuple) or not all(isinstance(source, str) for source in found):
        raise ValueError(f"{name}: training.data.leave_out is {found!r}, accepted is a list of sources")
    return list(found)


def _reference(name: str, heads: Mapping[str, Checkpoint], without: Mapping[str, list[str] | None]) -> str | None:
    """The head that a head without some sources is compared with, if it is clear which."""
    if not without[name]:
        return None
    full = [other for other in heads if without[other] == []]
    alike = [other for other in full if _recipe(heads[other]) == _recipe(heads[name])] or full
    return alike[0] if len(alike) == 1 else None


def _recipe(head: Checkpoint) -> dict[str, Any]:
    """How a head was trained, but for the sources left out; of an ensemble, each of its heads."""
    training = head.training
    members = [member.get("config") or training.get("config") for member in training.get("members", [{}])]
    data = {name: value for name, value in training.get("data", {}).items() if name not in FREE}
    return {"config": members[0] if len(members) == 1 else members, "data": data, "store": training.get("store")}


def _notes(name: str, test: _Test) -> Iterator[str]:
    """What a reader of the row must know."""
    without, reference = test.without[name], test.reference[name]
    if undecided := accuracy(test.margins[name], test.targets).undecided:
        yield f"{name}: {undecided} margins are exactly 0, which count one half"
    if without is None:
        yield f"{name}: no gain, since its training record does not say what it was trained without"
    elif without and reference is None:
        yield f"{name}: no gain, since none, or more than one, of these heads was trained on all sources"
    elif without and reference:
        lines = difference(_recipe(test.heads[name]), _recipe(test.heads[reference]))
        yield from (f"{name}: differs from {reference} in more than what was left out: {line}" for line in lines)
        present = decisive(test.sources, test.targets)
        yield from (f"{name}: no decisive pair here is of {source}" for source in without if source not in present)
