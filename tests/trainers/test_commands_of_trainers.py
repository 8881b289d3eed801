"""`trainers.train`, `evaluate` and `export` as commands, and what they refuse."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from sealed_store import FACTS, TOY, WORDS, seal, toy_pairs, toy_store, toy_values

from trainers import evaluate, export, results, train
from trainers.config import EvaluateConfig, ExportConfig, RunConfig
from trainers.fit import EpochRow
from trainers.recipe import DataConfig, TrainConfig
from trainers.run_folder import RunFolder
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.store import FeatureStore

RECIPE = TrainConfig(learning_rate=1e-2, widths=(6,), max_epochs=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    location = tmp_path_factory.mktemp("toy") / "store"
    toy_store(location)
    return location


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "one"
    train.main(RunConfig(str(store), str(out), RECIPE))
    return out


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing the report takes most of a run here; that of `run` is drawn."""
    monkeypatch.setattr(results, "write_report", lambda folder: folder / "report.html")


def test_a_training_run_has_one_trial_and_its_epochs(run: Path) -> None:
    (trial,) = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
    assert (trial["trial"], trial["state"], trial["params"]["widths"]) == (0, "complete", "6")
    assert len((run / "epochs.jsonl").read_text().splitlines()) == trial["epochs"] == 3
    assert (run / "report.html").is_file()


def test_training_again_gives_the_same_head(store: Path, run: Path) -> None:
    before = Checkpoint.load(run / "best").sha256
    train.main(RunConfig(str(store), str(run), RECIPE))
    assert Checkpoint.load(run / "best").sha256 == before
    assert len((run / "epochs.jsonl").read_text().splitlines()) == 3


def test_a_run_that_was_cut_off_starts_again_and_comes_to_the_same_head(
    store: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(folder: RunFolder, row: EpochRow) -> None:
        log_epoch(folder, row)
        if row.epoch == 2:
            raise KeyboardInterrupt

    log_epoch = RunFolder.log_epoch
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "log_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            train.main(RunConfig(str(store), str(tmp_path / "run"), RECIPE))
    train.main(RunConfig(str(store), str(tmp_path / "run"), RECIPE))
    assert (tmp_path / "run" / "epochs.jsonl").read_bytes() == (run / "epochs.jsonl").read_bytes()
    assert Checkpoint.load(tmp_path / "run" / "best").sha256 == Checkpoint.load(run / "best").sha256


@pytest.mark.slow(reason="starts a training as a process several times")
def test_kill_9_of_a_training_changes_no_bit_of_its_head(store: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, max_epochs=60, patience=60)
    train.main(RunConfig(str(store), str(tmp_path / "undisturbed"), recipe))
    out = tmp_path / "killed"
    options = ["--train.max-epochs=60", "--train.patience=60", "--train.learning-rate=1e-2", "--train.widths", "6"]
    command = [sys.executable, "-m", "trainers.train", "--store", str(store), "--out", str(out), *options]
    environment = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # as the other was compiled, to compare bits
    for epochs in (5, 25):
        child = subprocess.Popen([*command, "--save-every-s=0"], stderr=subprocess.DEVNULL, env=environment)
        while child.poll() is None and _lines(out / "epochs.jsonl") < epochs:
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert list((out / "state").glob("[0-9]*"))
    subprocess.run(command, check=True, capture_output=True, env=environment)
    assert (out / "epochs.jsonl").read_bytes() == (tmp_path / "undisturbed" / "epochs.jsonl").read_bytes()
    heads = [Checkpoint.load(folder / "best").sha256 for folder in (out, tmp_path / "undisturbed")]
    assert heads[0] == heads[1]
    assert not list((out / "state").glob("[0-9]*"))


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_head_that_explodes_is_recorded_and_refused(store: Path, tmp_path: Path) -> None:
    wild = replace(RECIPE, learning_rate=1e38, weight_decay=1e30)
    with pytest.raises(ValueError, match=r"all 1 heads failed; see .*trials\.jsonl"):
        train.main(RunConfig(str(store), str(tmp_path / "run"), wild))
    (trial,) = [json.loads(line) for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()]
    assert (trial["state"], trial["valid_loss"]) == ("failed", None)
    assert "loss is not finite in epoch 1" in trial["error"]
    assert not (tmp_path / "run" / "best").exists()


def test_another_recipe_in_the_same_folder_is_refused(store: Path, run: Path) -> None:
    with pytest.raises(ValueError, match=r"asked.train.dropout: 0.25, not 0.5. Choose another --out"):
        train.main(RunConfig(str(store), str(run), replace(RECIPE, dropout=0.25)))


def test_the_checkpoint_records_how_it_came_to_be(store: Path, run: Path) -> None:
    checkpoint = Checkpoint.load(run / "best")
    assert checkpoint.training["config"] == json.loads(json.dumps(asdict(RECIPE)))
    assert checkpoint.training["store"]["sha256"] == FeatureStore.open_sealed(str(store)).sha256
    assert checkpoint.training["pairs"].keys() == {"train", "valid"}
    by_source = checkpoint.training["pairs_by_source"]
    for split, count in checkpoint.training["pairs"].items():
        assert sum(of["pairs"] for of in by_source[split].values()) == count
        assert f"| source | {' | '.join(by_source)} |" in (run / "best" / "README.md").read_text()
    assert checkpoint.encoders == {"toy": TOY.provenance, "words": WORDS.provenance}


def test_evaluation_of_the_best_head_agrees_with_the_run(store: Path, run: Path, tmp_path: Path) -> None:
    evaluate.main(EvaluateConfig(str(store), (str(run / "best"),), str(tmp_path / "out")))
    again = json.loads((tmp_path / "out" / "metrics.json").read_text())
    measured = json.loads((run / "test" / "metrics.json").read_text())
    assert again["accuracy"] == measured["accuracy"]
    assert again["checkpoint"] == measured["checkpoint"]


def test_a_head_is_evaluated_without_the_prompts_it_was_trained_without(store: Path, tmp_path: Path) -> None:
    data = DataConfig(zero_prompt_sources=("Alpha",))
    train.main(RunConfig(str(store), str(tmp_path / "run"), RECIPE, data))
    evaluate.main(EvaluateConfig(str(store), (str(tmp_path / "run" / "best"),), str(tmp_path / "out")))
    tables = [(folder / "predictions.csv").read_text() for folder in (tmp_path / "run" / "test", tmp_path / "out")]
    assert tables[0] == tables[1]
    edited = Checkpoint.load(tmp_path / "run" / "best")
    replace(edited, training={}).save(tmp_path / "forgetful")
    evaluate.main(EvaluateConfig(str(store), (str(tmp_path / "forgetful"),), str(tmp_path / "out")))
    assert (tmp_path / "out" / "predictions.csv").read_text() != tables[0]


def test_both_bad_counts_as_a_tie_in_an_evaluation_as_it_did_in_training(store: Path, tmp_path: Path) -> None:
    values = toy_values(80)
    pairs = [replace(p, label="both_bad") if p.label == "tie" else p for p in toy_pairs(values["toy"], 240)]
    other = seal(tmp_path / "store", pairs, (TOY, WORDS, FACTS), values)
    data = DataConfig(both_bad_as_tie=True)
    train.main(RunConfig(other.location, str(tmp_path / "run"), RECIPE, data))
    evaluate.main(EvaluateConfig(other.location, (str(tmp_path / "run" / "best"),), str(tmp_path / "out")))
    tables = [(folder / "predictions.csv").read_text() for folder in (tmp_path / "run" / "test", tmp_path / "out")]
    assert tables[0] == tables[1]
    assert ",0.5," in tables[0]


def test_a_checkpoint_of_other_blocks_is_refused(run: Path, tmp_path: Path) -> None:
    other = toy_store(tmp_path / "other", specs=(TOY, FACTS))
    with pytest.raises(ValueError, match="has no block 'words', which the checkpoint needs"):
        evaluate.main(EvaluateConfig(other.location, (str(run / "best"),), str(tmp_path / "out")))


def test_an_exported_head_is_the_run_s_best(run: Path, tmp_path: Path) -> None:
    export.main(ExportConfig(str(run), str(tmp_path / "head")))
    assert Checkpoint.load(tmp_path / "head").sha256 == Checkpoint.load(run / "best").sha256


def test_a_folder_is_not_overwritten(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"out: .* exists already; name a new folder"):
        export.main(ExportConfig(str(run), str(tmp_path)))


def test_a_damaged_head_is_not_exported(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "best", tmp_path / "run" / "best")
    weights = tmp_path / "run" / "best" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"model\.safetensors: "):
        export.main(ExportConfig(str(tmp_path / "run"), str(tmp_path / "head")))
    assert not (tmp_path / "head").exists()


def test_a_run_without_a_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no best/ yet"):
        export.main(ExportConfig(str(tmp_path), str(tmp_path / "head")))


def test_bad_options_are_one_line_and_status_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainers.evaluate", "--store", str(tmp_path), "--checkpoint", str(tmp_path)]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("python -m trainers.evaluate: error: ")
    assert "config.json: missing" in done.stderr
    assert len(done.stderr.splitlines()) == 1
