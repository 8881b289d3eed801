"""Held-out measurement against counts made by hand, and the trivial rules."""

import json
import math
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sealed_store import FACTS, TOY, WORDS, seal, toy_pairs, toy_store, toy_values

from trainers.data import Dataset, load_dataset
from trainers.evaluation import evaluate
from trainers.fit import fit
from trainers.recipe import DataConfig, Recipe, TrainConfig
from trainers.results import release
from tunejury_jax.blocks import FACTS as FACT_NAMES
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.pairs import SPLITS
from tunejury_jax.store import FeatureStore

RECIPE = TrainConfig(learning_rate=1e-2, widths=(6,), max_epochs=2, dropout=0.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return toy_store(tmp_path_factory.mktemp("toy") / "store")


@pytest.fixture(scope="module")
def dataset(store: FeatureStore) -> Dataset:
    return load_dataset(store, DataConfig())


@pytest.fixture(scope="module")
def checkpoint(store: FeatureStore, dataset: Dataset) -> Checkpoint:
    ((_, fitted),) = fit({0: Recipe(RECIPE)}, dataset)
    return release(fitted, dataset, store)


def scores_by_hand(checkpoint: Checkpoint, dataset: Dataset, rows: np.ndarray, side: int) -> np.ndarray:
    arrays = dataset.arrays
    index = np.asarray(arrays.index)[rows]
    sides = [np.asarray(block)[index[:, side]] for block in arrays.clip]
    x = np.concatenate([*sides, *(np.asarray(block)[index[:, 2]] for block in arrays.prompt)], axis=1)
    return np.asarray(checkpoint.score(jnp.asarray(x)), np.float64)


def test_margins_and_counts_are_those_made_by_hand(
    checkpoint: Checkpoint, dataset: Dataset, store: FeatureStore
) -> None:
    measured = evaluate(checkpoint, dataset, store, "test")
    rows = dataset.splits["test"]
    margins = scores_by_hand(checkpoint, dataset, rows, 0) - scores_by_hand(checkpoint, dataset, rows, 1)
    np.testing.assert_allclose(measured.margins, margins, atol=2e-5)
    targets = np.asarray(dataset.arrays.target)[rows]
    right = sum((m > 0) == (t > 0.5) for m, t in zip(measured.margins, targets, strict=True) if t != 0.5)
    assert measured.metrics["accuracy"]["correct"] == right
    assert measured.metrics["accuracy"]["ties"] == (targets == 0.5).sum()


def test_sources_add_up_to_the_whole(checkpoint: Checkpoint, dataset: Dataset, store: FeatureStore) -> None:
    metrics = evaluate(checkpoint, dataset, store, "test").metrics
    assert sorted(metrics["by_source"]) == ["Alpha", "Beta"]
    for count in ("correct", "n_decisive", "ties"):
        assert sum(source[count] for source in metrics["by_source"].values()) == metrics["accuracy"][count]


def test_a_rule_is_given_the_direction_that_suits_the_training_pairs(tmp_path: Path) -> None:
    """Quieter wins everywhere: the rule must find that out, and be right on every held-out pair."""
    values = toy_values(80)
    values["signal"][:, FACT_NAMES.index("rms_dbfs")] = -values["toy"][:, 0]
    store = seal(tmp_path / "store", toy_pairs(values["toy"], 240), (TOY, WORDS, FACTS), values)
    dataset = load_dataset(store, DataConfig())
    ((_, fitted),) = fit({0: Recipe(RECIPE)}, dataset)
    baselines = evaluate(release(fitted, dataset, store), dataset, store, "test").metrics["baselines"]
    assert baselines["quieter clip wins"]["value"] == 1.0


def test_a_rule_has_no_direction_where_there_is_nothing_to_train_on(checkpoint: Checkpoint, tmp_path: Path) -> None:
    values = toy_values(80)
    pairs = [replace(pair, split="test") for pair in toy_pairs(values["toy"], 60)]
    store = seal(tmp_path / "store", pairs, (TOY, WORDS, FACTS), values)
    metrics = evaluate(checkpoint, load_dataset(store, DataConfig()), store, "test").metrics
    assert metrics["accuracy"]["n_decisive"] == 55
    assert metrics["baselines"] == {}


def test_the_direction_of_a_rule_is_not_chosen_on_the_pairs_it_is_measured_on(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Quieter wins in training and louder in testing: the rule must be wrong every time."""
    values = toy_values(80)
    values["signal"][:, FACT_NAMES.index("rms_dbfs")] = -values["toy"][:, 0]
    other = {"a": "b", "b": "a", "tie": "tie"}
    pairs = toy_pairs(values["toy"], 240)
    pairs = [replace(pair, label=other[pair.label]) if pair.split == "test" else pair for pair in pairs]
    store = seal(tmp_path / "store", pairs, (TOY, WORDS, FACTS), values)
    rule = evaluate(checkpoint, load_dataset(store, DataConfig()), store, "test").metrics["baselines"]
    assert rule["quieter clip wins"]["value"] == 0.0
    assert rule["quieter clip wins"]["rule"] == "rms_dbfs of the files alone; direction chosen on the training pairs"


def test_a_fact_that_is_the_same_for_all_files_makes_no_rule(checkpoint: Checkpoint, tmp_path: Path) -> None:
    values = toy_values(80)
    values["signal"][:, FACT_NAMES.index("duration_s")] = 10.0
    store = seal(tmp_path / "store", toy_pairs(values["toy"], 240), (TOY, WORDS, FACTS), values)
    baselines = evaluate(checkpoint, load_dataset(store, DataConfig()), store, "test").metrics["baselines"]
    assert [name.split()[0] in ("louder", "quieter") for name in baselines] == [True]


def test_the_p_value_of_a_rule_is_mcnemars_against_the_head(
    checkpoint: Checkpoint, dataset: Dataset, store: FeatureStore
) -> None:
    measured = evaluate(checkpoint, dataset, store, "test")
    rows = dataset.splits["test"]
    targets, index = np.asarray(dataset.arrays.target)[rows], np.asarray(dataset.arrays.index)[rows]
    loudness = store.load("signal").values[:, FACT_NAMES.index("rms_dbfs")]
    (name,) = {"louder clip wins", "quieter clip wins"} & measured.metrics["baselines"].keys()
    sign = 1 if name == "louder clip wins" else -1
    b = c = 0
    for margin, target, (one, two, _) in zip(measured.margins, targets, index, strict=True):
        if target != 0.5:
            head = (margin > 0) == (target > 0.5) and margin != 0
            rule = (sign * (loudness[one] - loudness[two]) > 0) == (target > 0.5)
            b, c = b + (head and not rule), c + (rule and not head)
    assert b + c > 0
    expected = math.erfc(math.sqrt((b - c) ** 2 / (b + c) / 2))
    assert measured.metrics["baselines"][name]["p"] == pytest.approx(expected)


def test_a_head_without_an_opinion_is_undecided_and_at_chance(
    checkpoint: Checkpoint, dataset: Dataset, store: FeatureStore
) -> None:
    silent = replace(checkpoint, variables=jax.tree.map(jnp.zeros_like, checkpoint.variables))
    metrics = evaluate(silent, dataset, store, "test").metrics
    accuracy = metrics["accuracy"]
    assert (accuracy["value"], accuracy["undecided"], accuracy["correct"]) == (0.5, accuracy["n_decisive"], 0)
    assert metrics["chance"] == {"value": 0.5, "p": 1.0}
    assert metrics["log_loss"]["value"] == pytest.approx(math.log(2))


def test_a_source_of_ties_alone_has_no_accuracy(checkpoint: Checkpoint, tmp_path: Path) -> None:
    values = toy_values(80)
    pairs = toy_pairs(values["toy"], 240)
    pairs = [replace(pair, label="tie") if pair.source == "Beta" else pair for pair in pairs]
    store = seal(tmp_path / "store", pairs, (TOY, WORDS), values)
    metrics = evaluate(checkpoint, load_dataset(store, DataConfig()), store, "test").metrics
    assert list(metrics["by_source"]) == ["Alpha"]


def test_a_store_without_file_facts_has_no_rules(tmp_path: Path) -> None:
    store = toy_store(tmp_path / "store", specs=(TOY, WORDS))
    dataset = load_dataset(store, DataConfig())
    ((_, fitted),) = fit({0: Recipe(RECIPE)}, dataset)
    assert evaluate(release(fitted, dataset, store), dataset, store, "test").metrics["baselines"] == {}


def test_features_of_another_encoder_are_refused(checkpoint: Checkpoint, dataset: Dataset, store: FeatureStore) -> None:
    other = replace(checkpoint, encoders={**checkpoint.encoders, "toy": {"encoder": "toy", "revision": "2"}})
    with pytest.raises(ValueError, match=r"block 'toy' was made otherwise .* revision: '1', not '2'"):
        evaluate(other, dataset, store, "test")


def test_a_split_without_pairs_is_refused(checkpoint: Checkpoint, dataset: Dataset, store: FeatureStore) -> None:
    with pytest.raises(ValueError, match="split: 'none' has no usable pairs; the store has"):
        evaluate(checkpoint, dataset, store, "none")


def test_what_is_saved_is_what_was_measured(
    checkpoint: Checkpoint, dataset: Dataset, store: FeatureStore, tmp_path: Path
) -> None:
    measured = evaluate(checkpoint, dataset, store, "valid")
    measured.save(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == json.loads(json.dumps(measured.metrics))
    header, *rows = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert header == "pair_id,source,target,margin"
    assert len(rows) == len(measured.margins) == len(dataset.splits["valid"])


def test_a_split_of_one_answer_among_ties_has_intervals(
    checkpoint: Checkpoint, dataset: Dataset, store: FeatureStore
) -> None:
    """Drawn anew together, the four pairs would now and then be ties alone."""
    rows = dataset.splits["test"]
    tied = np.asarray(dataset.arrays.target)[rows] == 0.5
    few = np.full_like(dataset.split, SPLITS.index("none"))
    few[[rows[~tied][0], *rows[tied][:3]]] = SPLITS.index("test")
    measured = evaluate(checkpoint, replace(dataset, split=few), store, "test").metrics
    assert measured["accuracy"]["ties"] == 3
    assert measured["ece"]["low"] == measured["ece"]["value"] == measured["ece"]["high"]
