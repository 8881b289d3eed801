"""Trackers: TensorBoard's files are read back; Weights & Biases is a stand-in that takes what the real one takes.

Not tested here, since its package and its service are not: what Weights & Biases does with the calls. That its offline
mode takes them, also from a run that is continued, was seen by hand with wandb 0.31.0.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from trainers.fit import EpochRow
from trainers.tracking.trackers import Tracker, make_trackers
from trainers.tracking.trial_sinks import TrialSinks

SCALARS = ("train_loss", "valid_loss", "valid_accuracy")
CONFIG: dict[str, Any] = {"asked": {"seed": 42}}


def row(head: int, epoch: int) -> EpochRow:
    return EpochRow(head, epoch, 0.6 - epoch / 64, 0.7 - epoch / 64, 0.5)


def outcome(trial: int, **fields: Any) -> dict[str, Any]:
    record = {"trial": trial, "state": "complete", "params": {"dropout": 0.25, "widths": [8, 4]}, "valid_loss": 0.5}
    return record | {"valid_accuracy": 0.75, "best_epoch": 2, "epochs": 4, "seconds": 1.0, "error": None} | fields


def failed(trial: int) -> dict[str, Any]:
    return outcome(trial, state="failed", valid_loss=None, valid_accuracy=None, error="not finite")


def train(tracker: Tracker, trials: list[int], first: int, last: int) -> None:
    for epoch in range(first, last + 1):
        for trial in trials:
            tracker.log(trial, row(trial, epoch))


def records(path: Path) -> Iterator[Event]:
    """The events of a TFRecord file: length, its checksum, the event, its checksum."""
    data = path.read_bytes()
    while data:
        length = int.from_bytes(data[:8], "little")
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def events(folder: Path) -> list[Event]:
    """What the files of a folder hold in the order of their writing."""
    found = [event for path in folder.glob("events.out.tfevents.*") for event in records(path)]
    return sorted(found, key=lambda event: event.wall_time)


def shown(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows: a restart at a step hides what was written of it, and of later ones, before."""
    points: list[tuple[str, int, float]] = []
    for event in events(folder):
        if event.session_log.status == SessionLog.START:
            points = [point for point in points if point[1] < event.step]
        points += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
    return {name: [(step, value) for tag, step, value in points if tag == name] for name in SCALARS}


def tensorboard(folder: Path) -> Tracker:
    (tracker,) = make_trackers(["tensorboard"], folder, CONFIG)
    return tracker


def test_tensorboard_has_every_epoch_of_every_trial(tmp_path: Path) -> None:
    tracker = tensorboard(tmp_path)
    train(tracker, [3, 5], 1, 4)
    tracker.finish([outcome(3), outcome(5)])
    for trial in (3, 5):
        found = shown(tmp_path / "tensorboard" / str(trial))
        for name in SCALARS:
            assert found[name] == [(e, pytest.approx(getattr(row(trial, e), name))) for e in range(1, 5)]


def test_a_continued_trial_shows_no_epoch_twice(tmp_path: Path) -> None:
    train(cut_off := tensorboard(tmp_path), [0], 1, 6)
    cut_off.finish([])  # writes what it has; of a killed run, some of it would be lost
    train(tracker := tensorboard(tmp_path), [0], 4, 8)
    tracker.finish([outcome(0)])
    folder = tmp_path / "tensorboard" / "0"
    assert [step for step, _ in shown(folder)["valid_loss"]] == list(range(1, 9))
    written = [event.step for event in events(folder) for value in event.summary.value if value.tag == "valid_loss"]
    assert len(written) == 11  # both are in the files


def test_tensorboard_knows_the_hyper_parameters_and_how_it_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = tensorboard(tmp_path)
    train(tracker, [0], 1, 2)
    tracker.finish([outcome(0), failed(1)])
    found = events(tmp_path / "tensorboard" / "0" / "hparams")
    tags = [value.tag for event in found for value in event.summary.value]
    assert {"hparam/valid_loss", "hparam/valid_accuracy", "_hparams_/session_start_info"} <= set(tags)
    start = next(v for e in found for v in e.summary.value if v.tag == "_hparams_/session_start_info")
    for text in (b"dropout", b"widths", b"[8, 4]", b"state", b"complete"):
        assert text in start.metadata.plugin_data.content
    assert capsys.readouterr().err == ""  # a failed trial has no loss, which is no failure of the tracker
    of_failed = events(tmp_path / "tensorboard" / "1" / "hparams")
    assert "hparam/valid_loss" not in [value.tag for event in of_failed for value in event.summary.value]


def test_a_finished_trial_is_told_once(tmp_path: Path) -> None:
    for loss in (0.5, 0.25):
        tensorboard(tmp_path).finish([outcome(0, valid_loss=loss)])
    found = [value for e in events(tmp_path / "tensorboard" / "0" / "hparams") for value in e.summary.value]
    assert [value.simple_value for value in found if value.tag == "hparam/valid_loss"] == [0.5]


class Sinks:
    """Places that only note what happens to them."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.opened: list[int] = []
        self.most = 0

    def __call__(self, trial: int, epoch: int) -> "Sinks.Sink":
        self.open.add(trial)
        self.opened.append(trial)
        self.most = max(self.most, len(self.open))
        return self.Sink(self, trial)

    class Sink:
        """One of them."""

        def __init__(self, sinks: "Sinks", trial: int) -> None:
            self._sinks, self._trial = sinks, trial

        def write(self, row: EpochRow) -> None:
            assert self._trial in self._sinks.open

        def end(self, outcome: Any) -> None:
            self.write(row(0, 1))

        def close(self) -> None:
            self._sinks.open.remove(self._trial)


def test_silent_trials_are_closed_and_those_that_train_are_not() -> None:
    sinks = Sinks()
    tracker = TrialSinks(sinks)
    for batch in range(10):
        train(tracker, list(range(8 * batch, 8 * batch + 8)), 1, 5)
    assert sinks.opened == list(range(80))  # none was opened again
    assert sinks.most <= 24
    tracker.finish([outcome(trial) for trial in range(80)])
    assert sinks.open == set()


class Run:
    """A run of the stand-in: takes the arguments of wandb.Run and keeps them."""

    def __init__(self, kept: dict[str, Any]) -> None:
        self.kept, self.rows, self.summary = kept, dict[int, Any](), dict[str, Any]()
        self.config, self.finished = self, False

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        assert step is not None
        self.rows[step] = data

    def update(self, d: dict[str, Any], allow_val_change: bool | None = None) -> None:
        self.kept["config"] |= d

    def finish(self, exit_code: int | None = None) -> None:
        self.finished = True


def init(  # the signature of wandb.init, as far as it is used here, with its own defaults
    entity: str | None = None,
    project: str | None = None,
    dir: str | None = None,
    id: str | None = None,
    name: str | None = None,
    config: dict[str, Any] | None = None,
    group: str | None = None,
    mode: str | None = None,
    reinit: Any = None,
    resume: Any = None,
    settings: Any = None,
) -> Run:
    names = inspect.signature(init).parameters
    return Run({name: value for name, value in locals().items() if name in names and value is not None})


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    made: list[Run] = []
    module: Any = ModuleType("wandb")
    module.Settings = lambda silent, console: {"silent": silent, "console": console}

    def kept(**arguments: Any) -> Run:
        made.append(init(**arguments))
        return made[-1]

    module.init = kept
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return made


def wandb(folder: Path) -> Tracker:
    (tracker,) = make_trackers(["wandb"], folder, CONFIG)
    return tracker


def test_wandb_has_a_run_for_each_trial(tmp_path: Path, runs: list[Run]) -> None:
    tracker = wandb(tmp_path / "sweep")
    train(tracker, [0, 1], 1, 3)
    tracker.finish([outcome(0), failed(1)])
    assert [run.kept["name"] for run in runs] == ["trial 0", "trial 1"]
    first = runs[0].kept
    assert (first["group"], first["project"], first["resume"]) == ("sweep", "tunejury-jax", "allow")
    assert first["reinit"] == "create_new"
    assert "mode" not in first  # the user's environment decides
    assert first["config"] == {**CONFIG, "params": {"dropout": 0.25, "widths": [8, 4]}}
    assert list(runs[1].rows) == [1, 2, 3]
    assert runs[1].rows[2] == {name: getattr(row(1, 2), name) for name in SCALARS}
    assert runs[1].summary["trial/error"] == "not finite"
    assert all(run.finished for run in runs)
    assert CONFIG == {"asked": {"seed": 42}}


def test_a_trial_keeps_its_id_and_shares_it_with_none(tmp_path: Path, runs: list[Run]) -> None:
    for folder in ("a", "a", "b"):
        train(wandb(tmp_path / folder), [0, 1], 1, 1)
    ids = [run.kept["id"] for run in runs]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 4


def test_the_project_can_be_chosen(tmp_path: Path, runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    train(wandb(tmp_path), [0], 1, 1)
    assert runs[0].kept["project"] == "mine"


def test_a_failing_tracker_is_said_once_and_the_run_goes_on(
    tmp_path: Path, runs: list[Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = wandb(tmp_path)
    train(tracker, [0], 1, 2)

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(Run, "log", refuse)
    train(tracker, [0, 1], 3, 5)
    tracker.finish([outcome(0)])
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].endswith("tracking by wandb stops, the run goes on without it: ConnectionError: no network")
    assert "wandb lacks 6 epochs and how the trials ended" in said[1]


def test_an_interrupt_is_no_failure_of_a_tracker(
    tmp_path: Path, runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "log", interrupt)
    with pytest.raises(KeyboardInterrupt):
        wandb(tmp_path).log(0, row(0, 1))


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_a_missing_package_is_said_with_its_extra(
    name: Any, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"trackers: '{name}' needs its extra: pip install 'tunejury-jax\[{name}\]'"):
        make_trackers([name], tmp_path, CONFIG)


def test_each_tracker_once(tmp_path: Path, runs: list[Run]) -> None:
    assert len(make_trackers(["wandb", "tensorboard", "wandb"], tmp_path, CONFIG)) == 2
    assert make_trackers([], tmp_path, CONFIG) == []
