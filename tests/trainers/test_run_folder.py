"""The files of a run, and how a run that was killed is continued in them."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from trainers.fit import EpochRow
from trainers.run_folder import RunFolder, ranked

CONFIG = {"asked": {"trials": 4, "store": "here", "seed": 1}, "store": {"sha256": "a"}, "environment": {"jax": "1"}}


def trial(number: int, loss: float | None, state: str = "complete") -> dict[str, Any]:
    return {
        "trial": number,
        "state": state,
        "params": {"learning_rate": 0.1 * number},
        "valid_loss": loss,
        "valid_accuracy": 0.5,
        "best_epoch": 1,
        "epochs": 2,
        "seconds": 0.1,
        "error": None,
    }


def test_the_same_question_continues_a_run(tmp_path: Path) -> None:
    RunFolder(tmp_path).claim(CONFIG)
    RunFolder(tmp_path).claim({**CONFIG, "environment": {"jax": "2"}})


FREE = [{"trials": 9}, {"store": "elsewhere"}, {"keep": 2}, {"save_every_s": 0.0}, {"trackers": ["wandb"]}]


@pytest.mark.parametrize("change", FREE)
def test_a_run_may_grow_its_store_may_move_and_what_is_kept_of_it_may_change(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    RunFolder(tmp_path).claim(CONFIG)
    RunFolder(tmp_path).claim({**CONFIG, "asked": {**CONFIG["asked"], **change}})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"asked": {**CONFIG["asked"], "seed": 2}}, "asked.seed: 2, not 1"),
        ({"store": {"sha256": "b"}}, "store.sha256: 'b', not 'a'"),
    ],
)
def test_another_question_is_refused(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    RunFolder(tmp_path).claim(CONFIG)
    with pytest.raises(ValueError, match=f"holds another run; asked for {message}. Choose another --out"):
        RunFolder(tmp_path).claim({**CONFIG, **other})


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"format": "tunejury"}', '{"asked": 3, "store": {}}'])
def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json: not the configuration of a run; choose another --out"):
        RunFolder(tmp_path).claim(CONFIG)
    assert (tmp_path / "config.json").read_text() == content


def test_the_last_question_is_on_record(tmp_path: Path) -> None:
    RunFolder(tmp_path / "deep" / "run").claim(CONFIG)
    grown = {**CONFIG, "asked": {**CONFIG["asked"], "trials": 9}}
    RunFolder(tmp_path / "deep" / "run").claim(grown)
    assert json.loads((tmp_path / "deep" / "run" / "config.json").read_text()) == grown


def test_epochs_of_unfinished_trials_and_half_lines_are_forgotten(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for number, epoch in ((0, 1), (1, 1), (0, 2), (2, 1)):
        folder.log_epoch(EpochRow(number, epoch, 0.5, 0.25, 0.75))
    with folder.epochs.open("a") as file:
        file.write('{"trial": 0, "epo')
    folder.forget_epochs({0, 2})
    rows = [json.loads(line) for line in folder.epochs.read_text().splitlines()]
    assert [(row["trial"], row["epoch"]) for row in rows] == [(0, 1), (0, 2), (2, 1)]
    assert rows[0] == {"trial": 0, "epoch": 1, "train_loss": 0.5, "valid_loss": 0.25, "valid_accuracy": 0.75}


def test_a_run_without_epochs_has_nothing_to_forget(tmp_path: Path) -> None:
    RunFolder(tmp_path).forget_epochs(())
    assert list(tmp_path.iterdir()) == []


def test_a_worker_keeps_its_name_and_no_two_have_the_same(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    names = [RunFolder(folder).worker for folder in folders]
    assert [RunFolder(folder).worker for folder in folders] == names
    assert names[0] != names[1]
    assert all(name == name.strip() != "" for name in names)


def test_a_best_head_that_a_killed_save_moved_away_is_put_back(tmp_path: Path) -> None:
    (tmp_path / ".best.old").mkdir()
    RunFolder(tmp_path).claim(CONFIG)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["best"]


def test_measured_heads_are_lines_and_tables_a_list(tmp_path: Path) -> None:
    heads, tables = [{"head": "full", "seed": 0}, {"head": "A1", "seed": 0}], [{"title": "t", "rows": [["a ± b"]]}]
    folder = RunFolder(tmp_path)
    folder.write_measured(heads[:1], [])
    folder.write_measured(heads, tables)
    assert [json.loads(line) for line in folder.measured.read_text().splitlines()] == heads
    assert json.loads(folder.tables.read_text()) == tables


def test_ranks_are_by_loss_then_by_number_and_leave_out_failures() -> None:
    trials = [trial(0, 0.5), trial(1, 0.25), trial(2, None, "failed"), trial(3, 0.25)]
    assert [row["trial"] for row in ranked(trials)] == [1, 3, 0]


def test_trials_and_leaderboard_hold_what_was_given(tmp_path: Path) -> None:
    folder, trials = RunFolder(tmp_path), [trial(0, 0.5), trial(1, 0.25), trial(2, None, "failed")]
    folder.write_trials(trials)
    assert [json.loads(line) for line in folder.trials.read_text().splitlines()] == trials
    with folder.leaderboard.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["rank"], row["trial"], row["learning_rate"]) for row in rows] == [("1", "1", "0.1"), ("2", "0", "0.0")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["leaderboard.csv", "trials.jsonl"]
