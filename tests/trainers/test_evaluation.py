"""Held-out measurement against counts made by hand, and the trivial rules."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_heads import random_checkpoint
from rich.console import Console
from scipy.optimize import minimize_scalar
from sealed_store import FACTS, TOY, WORDS, seal, toy_pairs, toy_store, toy_values

from trainers.data import Dataset, load_dataset
from trainers.evaluation import evaluate
from trainers.evaluation_tables import show_evaluation
from trainers.fit import fit
from trainers.recipe import DataConfig, Recipe, TrainConfig
from trainers.results import release
from tunejury_jax.blocks import FACTS as FACT_NAMES
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.metrics import accuracy, log_loss
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
    ties = sum(pair.split == "test" and pair.source == "Beta" for pair in pairs)
    assert metrics["notes"][0] == f"Beta: all {ties} pairs are ties, so there is no accuracy"


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


def test_what_prompts_add_is_counted_pair_by_pair(
    checkpoint: Checkpoint, dataset: Dataset, store: FeatureStore
) -> None:
    measured = evaluate(checkpoint, dataset, store, "test")
    rows, none = dataset.splits["test"], len(dataset.arrays.prompt[0]) - 1
    index = np.asarray(dataset.arrays.index).copy()
    prompted = int((index[rows, 2] != none).sum())
    index[:, 2] = none
    empty = replace(dataset, arrays=dataset.arrays._replace(index=jnp.asarray(index)))
    zeroed = scores_by_hand(checkpoint, empty, rows, 0) - scores_by_hand(checkpoint, empty, rows, 1)
    targets = np.asarray(dataset.arrays.target)[rows]
    table = {"both_right": 0, "only_with_prompt": 0, "only_without": 0, "neither_right": 0}
    for margin, other, target in zip(measured.margins, zeroed, targets, strict=True):
        if target != 0.5:
            a, b = (bool((one > 0) == (target > 0.5)) for one in (margin, other))
            names = {(1, 1): "both_right", (1, 0): "only_with_prompt", (0, 1): "only_without", (0, 0): "neither_right"}
            table[names[a, b]] += 1
    prompt = measured.metrics["prompt"]
    assert prompt["table"] == table
    assert prompt["prompted"] == prompted
    assert 0 < prompted < len(rows)
    assert prompt["empty"]["correct"] == table["both_right"] + table["only_without"]
    by_source = [part["prompt"] for part in measured.metrics["by_source"].values()]
    assert sum(part["prompted"] for part in by_source) == prompted
    assert {name: sum(part["table"][name] for part in by_source) for name in table} == table


def test_a_head_that_was_trained_without_some_prompts_sees_none_there(dataset: Dataset, store: FeatureStore) -> None:
    deaf = random_checkpoint(training={"data": {"zero_prompt_sources": ["Alpha", "Beta"]}})
    prompt = evaluate(deaf, dataset, store, "test").metrics["prompt"]
    assert prompt["prompted"] == prompt["table"]["only_with_prompt"] == prompt["table"]["only_without"] == 0
    assert prompt["difference"]["p"] == 1.0


def test_a_head_without_a_prompt_block_has_no_comparison(dataset: Dataset, store: FeatureStore) -> None:
    metrics = evaluate(random_checkpoint(blocks=(TOY.block,)), dataset, store, "test").metrics
    assert metrics["prompt"] is None
    assert all(part["prompt"] is None for part in metrics["by_source"].values())


def test_a_head_of_prompts_alone_is_undecided_and_has_no_temperature(dataset: Dataset, store: FeatureStore) -> None:
    metrics = evaluate(random_checkpoint(blocks=(WORDS.block,)), dataset, store, "test").metrics
    assert metrics["accuracy"]["undecided"] == metrics["accuracy"]["n_decisive"]
    assert metrics["temperature"] is None
    assert metrics["notes"] == ["No temperature: on split 'valid' all margins are 0"]


def test_the_temperature_is_of_the_validation_pairs_and_its_effect_of_the_test(
    dataset: Dataset, store: FeatureStore
) -> None:
    head = random_checkpoint(seed=3)  # which happens to be right more often than not
    test, valid = (evaluate(head, dataset, store, split) for split in ("test", "valid"))
    found = test.metrics["temperature"]
    oracle = minimize_scalar(lambda t: log_loss(valid.margins / t, valid.targets), bounds=(0.01, 50), method="bounded")
    assert found["value"] == pytest.approx(oracle.x, rel=1e-3)
    assert found["n"] == len(valid.margins)
    assert found["before"]["ece"] == test.metrics["ece"]
    assert found["after"]["log_loss"]["value"] == pytest.approx(log_loss(test.margins / found["value"], test.targets))
    assert valid.metrics["temperature"] is None
    assert valid.metrics["notes"] == ["No temperature: it is fitted to split 'valid', which this is"]


def test_pairs_are_measured_apart_by_what_the_store_says_of_them(tmp_path: Path) -> None:
    values = toy_values(80)
    pairs = [replace(p, question=("x", "y", "")[n % 3]) for n, p in enumerate(toy_pairs(values["toy"], 240))]
    store = seal(tmp_path / "store", pairs, (TOY, WORDS), values)
    measured = evaluate(random_checkpoint(), load_dataset(store, DataConfig()), store, "test")
    groups = measured.metrics["by_group"]
    assert {source: set(found) for source, found in groups.items()} == {
        source: {"x", "y", "not known"} for source in ("Alpha", "Beta")
    }
    for source, found in groups.items():
        for count in ("correct", "n_decisive", "ties", "undecided"):
            assert sum(part[count] for part in found.values()) == measured.metrics["by_source"][source][count]
    question = {pair.id: pair.question for pair in pairs}
    own = [
        question[name] == "x" and source == "Beta"
        for name, source in zip(measured.pair_ids, measured.sources, strict=True)
    ]
    expected = accuracy(measured.margins[own], measured.targets[own])
    assert {name: groups["Beta"]["x"][name] for name in expected._fields} == expected._asdict()
    with pytest.raises(ValueError, match=r"group_by: got 'questoin'.*did you mean 'question'"):
        evaluate(random_checkpoint(), load_dataset(store, DataConfig()), store, "test", "questoin")


def test_a_split_of_ties_alone_is_refused(dataset: Dataset, store: FeatureStore) -> None:
    rows = dataset.splits["test"]
    tied = rows[np.asarray(dataset.arrays.target)[rows] == 0.5]
    few = np.full_like(dataset.split, SPLITS.index("none"))
    few[tied] = SPLITS.index("test")
    with pytest.raises(ValueError, match=f"targets: no decisive pair among {len(tied)}"):
        evaluate(random_checkpoint(), replace(dataset, split=few), store, "test")


@pytest.mark.parametrize("blocks", [(TOY.block, WORDS.block), (TOY.block,)], ids=["prompts", "no prompts"])
def test_everything_is_printed(dataset: Dataset, store: FeatureStore, blocks: Any) -> None:
    out = io.StringIO()
    metrics = evaluate(random_checkpoint(blocks=blocks, seed=2), dataset, store, "test").metrics
    show_evaluation(Console(file=out, width=160), metrics)
    told = out.getvalue()
    assert f"{metrics['accuracy']['value']:.4f}" in told
    assert ("Prompts make no difference: the head reads none" in told) == (len(blocks) == 1)
    for row in metrics["bins"]:
        assert f"{row['lo']:.3f} to {row['hi']:.3f}" in told
    assert all(note in told for note in metrics["notes"])
