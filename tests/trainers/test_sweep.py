"""A sweep as its user runs it: files, continuation, `kill -9`, reproducibility."""

import csv
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sealed_store import toy_store

from trainers import results, sweeping
from trainers.config import SweepConfig
from trainers.evaluation import evaluate
from trainers.kept import KeptHeads
from trainers.memory import member_bytes
from trainers.run_folder import RunFolder
from trainers.saves import Saves
from trainers.search import Search
from trainers.space import SearchSpace
from trainers.sweep import main
from trainers.sweeping import sweep
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.head_config import HeadConfig

SPACE = SearchSpace(widths=("6-4", "5"))
KEPT = 2
FILES = ("config.json", "study.journal", "epochs.jsonl", "trials.jsonl", "leaderboard.csv", "report.html")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    location = tmp_path_factory.mktemp("toy") / "store"
    toy_store(location)
    return location


def asked(store: Path, out: Path, **options: int) -> SweepConfig:
    settings = {"trials": 4, "population": 2, "max_epochs": 3, "patience": 2, "keep": KEPT, **options}
    return SweepConfig(store=str(store), out=str(out), space=SPACE, save_every_s=0.0, **settings)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def outcome(run: Path) -> list[dict]:
    """All that is listed of the trials but how long they took, and their numbers: a proposal cut off has one too."""
    left_out = ("seconds", "trial")
    return [{k: v for k, v in row.items() if k not in left_out} for row in lines(run / "trials.jsonl")]


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed sweep of four trials in two batches."""
    out = tmp_path_factory.mktemp("run") / "sweep"
    main(asked(store, out))
    return out


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves after every epoch, however long a save takes."""
    monkeypatch.setattr("trainers.saves.DUTY", 0)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out what comes after the last trial, which takes most of a run here."""
    monkeypatch.setattr(sweeping, "finish", lambda *arguments, **options: None)


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


def test_same_seed_same_heads_bit_for_bit(store: Path, run: Path, tmp_path: Path, unmeasured: None) -> None:
    sweep(asked(store, tmp_path / "again"), str(store))
    assert outcome(tmp_path / "again") == outcome(run)
    assert [row["trial"] for row in lines(tmp_path / "again" / "trials.jsonl")] == [0, 1, 2, 3]
    weights = [(folder / "best" / "model.safetensors").read_bytes() for folder in (run, tmp_path / "again")]
    assert weights[0] == weights[1]


def test_another_seed_gives_other_heads(store: Path, run: Path, tmp_path: Path, unmeasured: None) -> None:
    sweep(asked(store, tmp_path / "other", seed=7, trials=2), str(store))
    assert outcome(tmp_path / "other") != outcome(run)[:2]


def test_more_trials_continue_a_sweep(store: Path, run: Path, tmp_path: Path, unmeasured: None) -> None:
    sweep(asked(store, tmp_path / "grown", trials=2), str(store))
    sweep(asked(store, tmp_path / "grown", trials=4), str(store))
    assert outcome(tmp_path / "grown") == outcome(run)


def test_another_question_to_the_same_folder_is_refused(store: Path, run: Path) -> None:
    with pytest.raises(ValueError, match=r"holds another run; asked for asked\.max_epochs: 9, not 3"):
        sweep(asked(store, run, max_epochs=9), str(store))


def test_a_sweep_whose_heads_all_fail_says_so(store: Path, tmp_path: Path) -> None:
    wild = replace(SPACE, learning_rate=("log", "1e35", "1e36"))
    with pytest.raises(ValueError, match="all 2 heads failed"):
        sweep(replace(asked(store, tmp_path / "wild", trials=2), space=wild), str(store))
    assert all("loss is not finite" in row["error"] for row in lines(tmp_path / "wild" / "trials.jsonl"))


def test_more_heads_at_a_time_than_fit_are_refused_before_any_is_proposed(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.memory.available_bytes", lambda: 10**7)
    fit = 10**7 // member_bytes(HeadConfig(12, (64, 32)), 32)
    wide = replace(SPACE, widths=("6-4", "64-32"))
    asked_for = replace(asked(store, tmp_path / "run", trials=fit + 5, population=fit + 1), space=wide)
    with pytest.raises(ValueError, match=rf"population: {fit + 1} heads of widths 64-32 .* at most {fit} fit"):
        sweep(asked_for, str(store))
    assert not (tmp_path / "run" / "trials.jsonl").exists()


def test_an_unsealed_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no store\.json: not a feature store"):
        sweep(asked(tmp_path / "none", tmp_path / "run"), str(tmp_path / "none"))


class Killed(BaseException):
    """Stands for a kill: no handler of the code under test may see it."""


def die_at_call(number: int, work: Callable[..., Any], *, done: bool) -> Callable[..., Any]:
    """`work` that is killed in its call of this number, before or after it did what it does."""
    calls = itertools.count(1)

    def work_or_die(*arguments: Any, **options: Any) -> Any:
        last = next(calls) == number
        if last and not done:
            raise Killed
        result = work(*arguments, **options)
        if last:
            raise Killed
        return result

    return work_or_die


STEPS = {"epoch": (RunFolder, "log_epoch"), "keep": (KeptHeads, "add"), "tell": (Search, "tell")}
STEPS |= {"list": (RunFolder, "write_trials"), "move": (os, "replace"), "save": (Saves, "save")}
MOMENTS = [("epoch", 1), ("epoch", 5), ("keep", 1), ("keep", 3), ("save", 1), ("save", 3), ("tell", 2), ("tell", 4)]
KILLS = [(step, number, done) for step, number in MOMENTS for done in (False, True)]
KILLS += [("list", 3, True)]
KILLS += [("move", number, False) for number in range(1, 20, 2)]  # renames of files and of checkpoints


@pytest.mark.parametrize(("step", "number", "done"), KILLS)
def test_a_sweep_killed_at_any_step_goes_on_as_if_nothing_had_been(
    store: Path,
    run: Path,
    tmp_path: Path,
    unmeasured: None,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    number: int,
    done: bool,
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    owner, name = STEPS[step]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, die_at_call(number, getattr(owner, name), done=done))
        with pytest.raises(Killed):
            sweep(asked(store, tmp_path / "run"), str(store))
    sweep(asked(store, tmp_path / "run"), str(store))
    assert_same_run(tmp_path / "run", run)


def test_a_sweep_killed_while_it_releases_its_best_head_still_has_it(
    store: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After the two files of the evaluation, of the checkpoint: moved away, and not yet replaced.
    dying = die_at_call(4, os.replace, done=False)
    with monkeypatch.context() as patch:
        patch.setattr(results, "evaluate", lambda *measured: patch.setattr(os, "replace", dying) or evaluate(*measured))
        with pytest.raises(Killed):
            sweep(asked(store, tmp_path / "run"), str(store))
    assert not (tmp_path / "run" / "best").exists()
    sweep(asked(store, tmp_path / "run"), str(store))
    assert Checkpoint.load(tmp_path / "run" / "best").metrics == Checkpoint.load(run / "best").metrics
    assert_same_run(tmp_path / "run", run)


def assert_same_run(found: Path, expected: Path) -> None:
    assert outcome(found) == outcome(expected)
    assert epochs_of(found) == epochs_of(expected)
    weights = [(folder / "best" / "model.safetensors").read_bytes() for folder in (found, expected)]
    assert weights[0] == weights[1]
    assert len(list((found / "heads").glob("[0-9]*"))) == KEPT


def epochs_of(run: Path) -> list[tuple]:
    place = {row["trial"]: place for place, row in enumerate(lines(run / "trials.jsonl"))}
    return sorted((place[row.pop("trial")], *row.values()) for row in lines(run / "epochs.jsonl"))


@pytest.mark.slow(reason="starts a sweep as a process several times")
def test_kill_9_changes_nothing_of_what_comes_out(store: Path, run: Path, tmp_path: Path) -> None:
    out, kills = tmp_path / "killed", random.Random(0)
    counts = {"trials": 4, "population": 2, "max-epochs": 3, "patience": 2, "keep": KEPT, "save-every-s": 0}
    options = [f"--{name}={value}" for name, value in counts.items()] + ["--space.widths", "6-4", "5"]
    command = [sys.executable, "-m", "trainers.sweep", "--store", str(store), "--out", str(out), *options]
    environment = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # as `run` was compiled, to compare bits
    for _ in range(2):
        written = _last_write(out / "epochs.jsonl")
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        while _last_write(out / "epochs.jsonl") == written and child.poll() is None:
            time.sleep(0.02)
        time.sleep(kills.uniform(0.0, 2.0))
        child.send_signal(signal.SIGKILL)
        child.wait()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert_same_run(out, run)
    assert "Leaderboard, best 4 of 4" in done.stdout


def _last_write(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0
