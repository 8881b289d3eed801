"""Several heads on one split: the matrix against single evaluations, gains by hand, and heads that do not belong."""

import csv
import io
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro
from random_heads import random_checkpoint
from rich.console import Console
from sealed_store import TOY, toy_store

from trainers import evaluate as command
from trainers.config import EvaluateConfig
from trainers.data import Dataset, load_dataset
from trainers.evaluation import evaluate
from trainers.evaluation_matrix import Matrix, evaluate_heads, load_heads
from trainers.evaluation_tables import show_matrix
from trainers.recipe import DataConfig
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.ensemble import OFFSET, ensemble
from tunejury_jax.store import FeatureStore

DOCS = Path(__file__).parents[2] / "docs" / "held-out.md"
FULL, NO_ALPHA, NO_BETA, NEITHER = (), ("Alpha",), ("Beta",), ("Alpha", "Beta")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return toy_store(tmp_path_factory.mktemp("toy") / "store")


@pytest.fixture(scope="module")
def dataset(store: FeatureStore) -> Dataset:
    return load_dataset(store, DataConfig())


def head(number: int, leave_out: Any = FULL, seed: int = 42, **data: Any) -> Checkpoint:
    """A head of random weights, whose record says how it was trained."""
    training = {"config": {"seed": seed}, "data": {"leave_out": list(leave_out), **data}, "store": {"sha256": "s"}}
    return random_checkpoint(seed=number, training=training, metrics={OFFSET: 0.0})


def heads() -> dict[str, Checkpoint]:
    return {"full": head(0), "no Alpha": head(1, NO_ALPHA), "no Beta": head(2, NO_BETA), "neither": head(3, NEITHER)}


@pytest.fixture(scope="module")
def matrix(dataset: Dataset, store: FeatureStore) -> Matrix:
    return evaluate_heads(heads(), dataset, store, "test")


def row(matrix: Matrix, name: str) -> dict[str, Any]:
    (found,) = (one for one in matrix.metrics["heads"] if one["name"] == name)
    return found


def test_each_row_is_what_the_head_is_worth_alone(matrix: Matrix, dataset: Dataset, store: FeatureStore) -> None:
    for name in ("full", "neither"):
        alone, found = evaluate(heads()[name], dataset, store, "test"), row(matrix, name)
        assert found["accuracy"] == alone.metrics["accuracy"]
        assert found["checkpoint"] == alone.metrics["checkpoint"]
        for source, accuracy in found["by_source"].items():
            assert accuracy == {key: alone.metrics["by_source"][source][key] for key in accuracy}
        assert matrix.predictions[f"margin of {name}"] == alone.margins.tolist()


def test_a_gain_is_what_the_full_head_has_more_right_pair_by_pair(matrix: Matrix, dataset: Dataset) -> None:
    columns = {name: np.array(values) for name, values in matrix.predictions.items()}
    for name, source in (("no Alpha", "Alpha"), ("no Beta", "Beta"), ("neither", None)):
        gains = {"gain_all": 0.0, "gain": 0.0}
        counts = {"gain_all": 0, "gain": 0}
        for number, target in enumerate(columns["target"]):
            if target == 0.5:
                continue
            more, less = (float((columns[f"margin of {one}"][number] > 0) == (target > 0.5)) for one in ("full", name))
            for kind in ["gain_all", *["gain"] * (columns["source"][number] == source)]:
                gains[kind] += more - less
                counts[kind] += 1
        found = row(matrix, name)
        assert found["reference"] == "full"
        assert found["gain_all"]["value"] == pytest.approx(gains["gain_all"] / counts["gain_all"])
        assert found["gain_all"]["b"] - found["gain_all"]["c"] == gains["gain_all"]
        assert found["gain_all"]["low"] <= found["gain_all"]["value"] <= found["gain_all"]["high"]
        if source:
            assert found["gain"]["value"] == pytest.approx(gains["gain"] / counts["gain"])
        else:
            assert found["gain"] is None


def test_a_head_of_all_sources_has_no_gain_and_the_record_says_what_was_left_out(matrix: Matrix) -> None:
    full = row(matrix, "full")
    assert (full["trained_without"], full["reference"], full["gain"], full["gain_all"]) == ([], None, None, None)
    assert row(matrix, "neither")["trained_without"] == ["Alpha", "Beta"]
    assert matrix.metrics["notes"] == []


def test_the_order_of_heads_changes_their_order_alone(matrix: Matrix, dataset: Dataset, store: FeatureStore) -> None:
    turned = evaluate_heads(dict(reversed(heads().items())), dataset, store, "test")
    assert turned.metrics["heads"] == list(reversed(matrix.metrics["heads"]))


def test_of_several_full_heads_the_one_of_the_same_recipe_and_seed_is_the_reference(
    dataset: Dataset, store: FeatureStore
) -> None:
    given = {"one": head(0, seed=1), "two": head(1, seed=2)}
    given |= {f"less {seed}": head(1 + seed, NO_BETA, seed=seed, clean_valid=seed == 2) for seed in (1, 2, 3)}
    found = evaluate_heads(given, dataset, store, "test")
    assert [row(found, name)["reference"] for name in given] == [None, None, "one", "two", None]
    assert found.metrics["notes"] == [
        "less 3: no gain, since none, or more than one, of these heads was trained on all sources"
    ]


def test_the_only_full_head_is_the_reference_and_other_differences_are_told(
    dataset: Dataset, store: FeatureStore
) -> None:
    given = {"full": head(0), "less": head(1, NO_BETA, seed=7)}
    found = evaluate_heads(given, dataset, store, "test")
    assert row(found, "less")["gain_all"] is not None
    assert found.metrics["notes"] == ["less: differs from full in more than what was left out: config.seed: 7, not 42"]


def test_ensembles_are_compared_by_the_recipes_of_their_members(dataset: Dataset, store: FeatureStore) -> None:
    def of(leave_out: Any, *seeds: int) -> Checkpoint:
        return ensemble([head(10 * len(leave_out) + seed, leave_out, seed=seed) for seed in seeds])

    given = {"full": of(FULL, 0, 1), "other": of(FULL, 2, 3), "less": of(NO_BETA, 2, 3)}
    assert row(evaluate_heads(given, dataset, store, "test"), "less")["reference"] == "other"


def test_what_is_not_recorded_is_not_guessed(dataset: Dataset, store: FeatureStore) -> None:
    given = {"full": head(0), "no Beta": replace(head(1, NO_BETA), training={})}
    found = evaluate_heads(given, dataset, store, "test")
    assert (row(found, "no Beta")["trained_without"], row(found, "no Beta")["gain"]) == (None, None)
    assert found.metrics["notes"] == [
        "no Beta: no gain, since its training record does not say what it was trained without"
    ]


def test_a_source_that_the_store_does_not_have_has_a_gain_on_all_pairs_only(
    dataset: Dataset, store: FeatureStore
) -> None:
    given = {"full": head(0), "less": head(1, ("Gamma",))}
    found = evaluate_heads(given, dataset, store, "test")
    assert row(found, "less")["gain"] is None
    assert row(found, "less")["gain_all"] is not None
    assert found.metrics["notes"] == ["less: no decisive pair here is of Gamma"]


@pytest.mark.parametrize("leave_out", ["Alpha", [1], None, {"Alpha": True}])
def test_a_record_that_is_no_list_of_sources_is_refused(dataset: Dataset, store: FeatureStore, leave_out: Any) -> None:
    bad = replace(head(1), training={"data": {"leave_out": leave_out}})
    with pytest.raises(ValueError, match=r"bad: training\.data\.leave_out is .*, accepted is a list of sources"):
        evaluate_heads({"full": head(0), "bad": bad}, dataset, store, "test")


def test_heads_that_do_not_belong_are_refused(dataset: Dataset, store: FeatureStore) -> None:
    deaf = random_checkpoint(blocks=(TOY.block,), seed=1)
    with pytest.raises(ValueError, match=r"'deaf' cannot be compared with the first: layout: \['toy'\]"):
        evaluate_heads({"full": head(0), "deaf": deaf}, dataset, store, "test")
    other = replace(head(1), encoders={**head(1).encoders, "toy": {"encoder": "toy", "revision": "2"}})
    with pytest.raises(ValueError, match="block 'toy' was made otherwise"):
        evaluate_heads({"full": head(0), "other": other}, dataset, store, "test")
    with pytest.raises(ValueError, match=r"'ties' cannot be compared with the first: data\.both_bad_as_tie differs"):
        evaluate_heads({"full": head(0), "ties": head(1, both_bad_as_tie=True)}, dataset, store, "test")


def test_a_head_given_twice_or_two_of_one_name_are_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        head(number).save(tmp_path / name)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert list(load_heads([a, f"x={b}"])) == [a, "x"]
    with pytest.raises(ValueError, match="checkpoint: 'y' is the same head as 'x'"):
        load_heads([f"x={a}", f"y={a}"])
    with pytest.raises(ValueError, match="checkpoint: the name 'x' is given to two heads"):
        load_heads([f"x={a}", f"x={b}"])
    with pytest.raises(ValueError, match=r"config\.json: missing"):
        load_heads([f"x={a}", str(tmp_path / "none")])


def test_a_folder_whose_name_has_an_equals_sign_is_a_folder(tmp_path: Path) -> None:
    head(0).save(tmp_path / "lr=1")
    assert list(load_heads([str(tmp_path / "lr=1")])) == [str(tmp_path / "lr=1")]


def test_no_checkpoint_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"checkpoint: got \(\), accepted is one or more folders"):
        EvaluateConfig("store", (), "out")


def test_the_table_has_every_head_its_gains_and_the_notes(matrix: Matrix) -> None:
    out = io.StringIO()
    show_matrix(Console(file=out, width=200), matrix.metrics)
    lines = {line.split("│")[1].strip(): line for line in out.getvalue().splitlines() if line.count("│") > 2}
    assert [name for name in lines if name] == list(heads())
    gain = row(matrix, "no Beta")["gain"]["value"]
    assert f"{100 * gain:+.2f}" in lines["no Beta"]
    assert f"{100 * row(matrix, 'full')['by_source']['Alpha']['value']:.2f}" in lines["full"]


def test_the_commands_of_the_page_run_as_written(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head(0).save(tmp_path / "runs/full/best")
    head(1, NO_BETA).save(tmp_path / "runs/no-beta/best")
    (tmp_path / "store").symlink_to(store.location, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    (block,) = DOCS.read_text().split("```bash\n")[1:]
    for line in block.split("```")[0].splitlines():
        program, *arguments = line.removeprefix("python -m ").split(" ", 1)
        assert program == "trainers.evaluate"
        command.main(tyro.cli(EvaluateConfig, args=shlex.split(arguments[0])))
    told = capsys.readouterr().out
    for folder in ("report", "by-system", "matrix"):
        assert f"Written: {folder}/metrics.json and predictions.csv" in told
        assert json.loads((tmp_path / folder / "metrics.json").read_text())["split"] == "test"
    with (tmp_path / "matrix" / "predictions.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["pair_id", "source", "target", "margin of full", "margin of no-beta"]
    assert len(rows) > 30
