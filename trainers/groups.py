"""Which held-out pairs are looked at together: those of a source, and those that a source says one thing of."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from trainers.data import Dataset
from tunejury_jax.errors import one_of
from tunejury_jax.metrics import Accuracy, accuracy
from tunejury_jax.store import FeatureStore
from tunejury_jax.store.tables import PAIR_COLUMNS

__all__ = ["NOT_KNOWN", "Groups", "accuracies", "by_field", "by_source", "decisive", "tied"]

NOT_KNOWN = "not known"
MAX_VALUES = 100

Rows = Int[np.ndarray, " pairs"]
Margins = Float[np.ndarray, " pairs"]
Groups = dict[str, Bool[np.ndarray, " pairs"]]
"""Name -> which of some pairs."""


def by_source(dataset: Dataset, rows: Rows) -> Groups:
    """The pairs of each source, in the order of the store."""
    return {name: dataset.source[rows] == code for code, name in enumerate(dataset.sources)}


def by_field(dataset: Dataset, store: FeatureStore, rows: Rows, field: str) -> dict[str, Groups]:
    """The pairs of each source of which it says the same; what is blank is `not known`.

    Args:
        dataset: The store's pairs.
        store: Holds what is said of them.
        rows: Which pairs.
        field: Column of the store's pairs, as `question`.

    Returns:
        Source -> value -> pairs; empty where nothing is said of any of them.

    Raises:
        ValueError: There is no such column, or it has too many values to be groups.
    """
    one_of("group_by", field, PAIR_COLUMNS)
    records = store.pair_records()
    said = [_text(records[row][field]) for row in rows]
    values = sorted(set(said))
    if len(values) > MAX_VALUES:
        raise ValueError(f"group_by: {field!r} has {len(values)} values here, accepted are at most {MAX_VALUES}")
    code = np.array([values.index(text) for text in said])
    found = {source: _of_values(own, code, values) for source, own in by_source(dataset, rows).items() if own.any()}
    return found if values != [NOT_KNOWN] else {}


def accuracies(margins: Margins, targets: Margins, groups: Groups) -> dict[str, Accuracy]:
    """Accuracy on the pairs of each group that has a decisive one.

    Args:
        margins: Of some pairs.
        targets: What listeners said of them.
        groups: Which of them are in a group.
    """
    return {name: accuracy(margins[own], targets[own]) for name, own in decisive(groups, targets).items()}


def decisive(groups: Groups, targets: Margins) -> Groups:
    """The groups that have a decisive pair."""
    return {name: own for name, own in groups.items() if (targets[own] != 0.5).any()}


def tied(sources: Groups, groups: Mapping[str, Groups], targets: Margins) -> Iterator[str]:
    """Says of sources and groups of ties alone that they were not measured."""
    named = sources | {f"{source}, {value}": own for source, found in groups.items() for value, own in found.items()}
    for name, own in named.items():
        if own.any() and (targets[own] == 0.5).all():
            yield f"{name}: all {own.sum()} pairs are ties, so there is no accuracy"


def _of_values(own: Bool[np.ndarray, " pairs"], code: Rows, values: Sequence[str]) -> Groups:
    return {values[int(number)]: own & (code == number) for number in np.unique(code[own])}


def _text(value: object) -> str:
    return NOT_KNOWN if value is None else str(value).strip() or NOT_KNOWN
