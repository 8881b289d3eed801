"""A sweep as its user runs it: files, continuation, `kill -9`, reproducibility."""

import csv
import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sealed_store import toy_store

from trainers.config import SearchSpace, SweepConfig
from trainers.sweep import main
from trainers.sweeping import sweep
from tunejury_jax.checkpoint import Checkpoint

SPACE = SearchSpace(widths=("6-4", "5"))
FILES = ("config.json", "study.journal", "epochs.jsonl", "trials.jsonl", "leaderboard.csv", "report.html")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    location = tmp_path_factory.mktemp("toy") / "store"
    toy_store(location)
    return location


def asked(store: Path, out: Path, **options: int) -> SweepConfig:
    settings = {"trials": 4, "population": 2, "max_epochs": 3, "patience": 2, **options}
    return SweepConfig(store=str(store), out=str(out), space=SPACE, **settings)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def outcome(run: Path) -> list[tuple]:
    """Parameters and results of the trials in the order they ended, without numbers and times."""
    rows = lines(run / "trials.jsonl")
    return [(tuple(row["params"].items()), row["valid_loss"], row["best_epoch"], row["epochs"]) for row in rows]


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed sweep of four trials in two batches."""
    out = tmp_path_factory.mktemp("run") / "sweep"
    main(asked(store, out))
    return out


def test_a_run_has_all_its_files(run: Path) -> None:
    assert [name for name in FILES if not (run / name).is_file()] == []
    assert (run / "best" / "model.safetensors").is_file()
    assert (run / "test" / "metrics.json").is_file()


def test_the_best_head_is_the_one_of_lowest_validation_loss(run: Path) -> None:
    losses = [row["valid_loss"] for row in lines(run / "trials.jsonl")]
    assert Checkpoint.load(run / "best").metrics["valid_loss"] == min(losses)
    with (run / "leaderboard.csv").open() as file:
        assert [float(row["valid_loss"]) for row in csv.DictReader(file)] == sorted(losses)


def test_each_trial_has_every_epoch_once(run: Path) -> None:
    epochs = [(row["trial"], row["epoch"]) for row in lines(run / "epochs.jsonl")]
    expected = [(row["trial"], e) for row in lines(run / "trials.jsonl") for e in range(1, row["epochs"] + 1)]
    assert sorted(epochs) == sorted(expected)


def test_the_best_checkpoint_says_what_was_measured_on_held_out_pairs(run: Path) -> None:
    measured = json.loads((run / "test" / "metrics.json").read_text())
    assert Checkpoint.load(run / "best").metrics["test_accuracy"] == measured["accuracy"]
    assert "test_accuracy" in (run / "best" / "README.md").read_text()


def test_the_same_command_again_trains_nothing(store: Path, run: Path) -> None:
    before = (run / "trials.jsonl").read_bytes()
    sweep(asked(store, run), str(store))
    assert (run / "trials.jsonl").read_bytes() == before


def test_same_seed_same_heads_bit_for_bit(store: Path, run: Path, tmp_path: Path) -> None:
    sweep(asked(store, tmp_path / "again"), str(store))
    assert outcome(tmp_path / "again") == outcome(run)
    weights = [(folder / "best" / "model.safetensors").read_bytes() for folder in (run, tmp_path / "again")]
    assert weights[0] == weights[1]


def test_another_seed_gives_other_heads(store: Path, run: Path, tmp_path: Path) -> None:
    sweep(asked(store, tmp_path / "other", seed=7, trials=2), str(store))
    assert outcome(tmp_path / "other") != outcome(run)[:2]


def test_more_trials_continue_a_sweep(store: Path, run: Path, tmp_path: Path) -> None:
    sweep(asked(store, tmp_path / "grown", trials=2), str(store))
    sweep(asked(store, tmp_path / "grown", trials=4), str(store))
    assert outcome(tmp_path / "grown") == outcome(run)


def test_another_question_to_the_same_folder_is_refused(store: Path, run: Path) -> None:
    with pytest.raises(ValueError, match=r"holds another run; asked for asked\.max_epochs: 9, not 3"):
        sweep(asked(store, run, max_epochs=9), str(store))


def test_a_sweep_whose_heads_all_fail_says_so(store: Path, tmp_path: Path) -> None:
    wild = replace(SPACE, learning_rate=(1e35, 1e36))
    with pytest.raises(ValueError, match="all 2 heads failed"):
        sweep(replace(asked(store, tmp_path / "wild", trials=2), space=wild), str(store))
    assert all("loss is not finite" in row["error"] for row in lines(tmp_path / "wild" / "trials.jsonl"))


def test_an_unsealed_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no store\.json: not a feature store"):
        sweep(asked(tmp_path / "none", tmp_path / "run"), str(tmp_path / "none"))


@pytest.mark.slow(reason="starts a sweep as a process several times")
def test_kill_9_loses_no_trial_and_repeats_none(store: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    options = [
        "--trials",
        "4",
        "--population",
        "2",
        "--max-epochs",
        "3",
        "--patience",
        "2",
        "--space.widths",
        "6-4",
        "5",
    ]
    command = [sys.executable, "-m", "trainers.sweep", "--store", str(store), "--out", str(out), *options]
    kills = random.Random(0)
    for _ in range(3):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for(out / "epochs.jsonl", child)
        time.sleep(kills.uniform(0.0, 2.0))
        child.send_signal(signal.SIGKILL)
        child.wait()
    subprocess.run(command, check=True, capture_output=True)
    assert len(lines(out / "trials.jsonl")) == 4
    assert sorted(row[0] for row in outcome(out)[:2]) == sorted(row[0] for row in outcome(run)[:2])
    epochs = [(row["trial"], row["epoch"]) for row in lines(out / "epochs.jsonl")]
    assert len(epochs) == len(set(epochs))
    best = min(row["valid_loss"] for row in lines(out / "trials.jsonl"))
    assert np.isclose(Checkpoint.load(out / "best").metrics["valid_loss"], best, rtol=0, atol=0)


def _wait_for(path: Path, child: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
