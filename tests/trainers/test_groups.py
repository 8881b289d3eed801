"""Pairs grouped by what a store says of them, AIME's questions first, through the reader that makes such stores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from published_labels import aime_survey, write_aime
from sealed_store import TOY, WORDS, seal, toy_pairs, toy_values

from feature_export.sources.aime import read_aime
from trainers.data import Dataset, load_dataset
from trainers.groups import accuracies, by_field, by_source, tied
from trainers.recipe import DataConfig
from tunejury_jax.pairs import Pair
from tunejury_jax.store import FeatureStore

VALUES = toy_values(80)


def make(location: Path, pairs: list[Pair]) -> tuple[FeatureStore, Dataset]:
    store = seal(location, pairs, (TOY, WORDS), VALUES)
    return store, load_dataset(store, DataConfig())


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[FeatureStore, Dataset]:
    """Alpha's pairs are of question q0, q1 or of none; Beta's all of q1; confidence is 0 and 3."""
    pairs = [
        replace(p, question=("q0", "q1", " ")[n // 2 % 3] if p.source == "Alpha" else "q1", confidence=3.0 * (n % 2))
        for n, p in enumerate(toy_pairs(VALUES["toy"], 240))
    ]
    return make(tmp_path_factory.mktemp("asked") / "store", pairs)


def names(dataset: Dataset, rows: np.ndarray, own: np.ndarray) -> set[str]:
    return {dataset.ids[row] for row in rows[own]}


def test_every_pair_is_in_one_group_of_its_source(asked: tuple[FeatureStore, Dataset]) -> None:
    store, dataset = asked
    rows = dataset.splits["test"]
    found = by_field(dataset, store, rows, "question")
    assert {source: list(values) for source, values in found.items()} == {
        "Alpha": ["not known", "q0", "q1"],
        "Beta": ["q1"],
    }
    question = {record["pair_id"]: record["question"].strip() or "not known" for record in store.pair_records()}
    for source, own in by_source(dataset, rows).items():
        for value, group in found[source].items():
            expected = {name for name in names(dataset, rows, own) if question[name] == value}
            assert names(dataset, rows, group) == expected
    assert sum(group.sum() for values in found.values() for group in values.values()) == len(rows)


def test_numbers_are_groups_too(asked: tuple[FeatureStore, Dataset]) -> None:
    store, dataset = asked
    found = by_field(dataset, store, dataset.splits["test"], "confidence")
    assert {source: list(values) for source, values in found.items()} == {"Alpha": ["0.0"], "Beta": ["3.0"]}


def test_a_column_that_says_nothing_makes_no_groups(asked: tuple[FeatureStore, Dataset]) -> None:
    store, dataset = asked
    assert by_field(dataset, store, dataset.splits["test"], "rater") == {}


@pytest.mark.parametrize("field", ["questoin", "pair_id", "source", ""])
def test_an_unknown_column_is_refused(asked: tuple[FeatureStore, Dataset], field: str) -> None:
    store, dataset = asked
    with pytest.raises(ValueError, match=f"group_by: got '{field}', accepted are 'question', 'prompt'"):
        by_field(dataset, store, dataset.splits["test"], field)


def test_a_column_of_as_many_values_as_pairs_is_refused(tmp_path: Path) -> None:
    pairs = [replace(p, time=p.id, split="test") for p in toy_pairs(VALUES["toy"], 140)]
    store, dataset = make(tmp_path / "store", pairs)
    with pytest.raises(ValueError, match="group_by: 'time' has 140 values here, accepted are at most 100"):
        by_field(dataset, store, dataset.splits["test"], "time")


def test_the_questions_of_aime_come_through_its_reader_and_a_store(tmp_path: Path) -> None:
    data, audio = write_aime(tmp_path, aime_survey(8))
    pairs = [replace(pair, split="test") for pair in read_aime(data, audio=audio).pairs]
    clips = {clip for pair in pairs for clip in (pair.clip_a, pair.clip_b)}
    prompts = {pair.prompt for pair in pairs}
    values = {"toy": VALUES["toy"][: len(clips)], "words": np.resize(VALUES["words"], (len(prompts), 4))}
    store = seal(tmp_path / "store", pairs, (TOY, WORDS), values)
    dataset = load_dataset(store, DataConfig())
    found = by_field(dataset, store, dataset.splits["test"], "question")
    asked = {"Music Quality", "Text-Audio Alignment"}
    assert {source: set(values) for source, values in found.items()} == {"AIME": asked}
    for question in asked:
        expected = {pair.id for pair in pairs if pair.question == question}
        assert names(dataset, dataset.splits["test"], found["AIME"][question]) == expected


def test_groups_of_ties_are_named_and_not_measured() -> None:
    targets = np.array([1.0, 0.5, 0.5, 0.0])
    groups = {"some": np.array([True, True, False, True]), "ties": targets == 0.5, "none": np.zeros(4, bool)}
    assert list(accuracies(np.ones(4), targets, groups)) == ["some"]
    assert list(tied(groups, {"Alpha": {"x": targets == 0.5}}, targets)) == [
        "ties: all 2 pairs are ties, so there is no accuracy",
        "Alpha, x: all 2 pairs are ties, so there is no accuracy",
    ]
