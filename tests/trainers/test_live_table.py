"""The live table: what it counts, when it says so, and that its estimate of the time left is an honest one."""

import io
import time

import pytest
from rich.console import Console

from trainers import live_table as module
from trainers.fit import EpochRow
from trainers.live_table import LiveTable, live_table
from tunejury_jax.progress import LINE_EVERY_S


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Clock()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    shown = io.StringIO()
    monkeypatch.setattr(module, "Console", lambda stderr: Console(file=shown, force_terminal=True, width=200))
    return shown


def row(epoch: int, loss: float = 0.6) -> EpochRow:
    return EpochRow(0, epoch, loss, loss, 0.5)


def train(table: LiveTable, clock: Clock, numbers: list[int], first: int, last: int) -> None:
    """Epochs of heads in step, a tenth of a second each."""
    for epoch in range(first, last + 1):
        for number in numbers:
            clock.now += 0.1
            table.epoch(number, row(epoch, 0.7 - number / 100 - epoch / 1000))


def test_a_line_tells_of_every_head(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with live_table("sweep", 8, 50, done=1, clock=clock) as table:
        table.start([1, 2, 3, 4])
        train(table, clock, [1, 2, 3, 4], 1, 10)
        table.end(1, "complete")
        table.end(2, "pruned")
        table.end(3, "failed")
        table.epoch(4, row(11, float("nan")))
        clock.now += LINE_EVERY_S
        table.epoch(4, row(12, 0.9))
        assert capsys.readouterr().err == (
            "sweep: 4/8 heads, 1 alive, 1 stopped, 1 pruned, 1 failed; epoch 12; "
            "best validation loss 0.6500 (head 4); 3 epochs/s; about 15 s left\n"
        )


def test_lines_are_rare_and_the_last_is_certain(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with live_table("train", 1, 300, clock=clock) as table:
        table.start([0])
        train(table, clock, [0], 1, 250)
        assert len(capsys.readouterr().err.splitlines()) == 2
        table.end(0, "complete")
        assert capsys.readouterr().err == ""
    last = "train: 1/1 heads, 0 alive, 1 stopped, 0 pruned, 0 failed; epoch -; best validation loss 0.4500 (head 0); "
    assert capsys.readouterr().err == last + "10 epochs/s; 0 s left\n"


def test_a_terminal_shows_one_table_in_place(
    clock: Clock, terminal: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    with live_table("sweep", 2, 50, clock=clock) as table:
        table.start([0, 1])
        train(table, clock, [0, 1], 1, 10)
        before = terminal.getvalue()
        table.end(0, "pruned")
        assert terminal.getvalue() == before  # nothing in between
    shown = terminal.getvalue()
    for text in ("sweep", "alive", "stopped", "pruned", "failed", "best validation loss", "0.6800 (head 1)", "1/2"):
        assert text in shown
    assert 2 <= shown.count("epochs/s") <= 10  # 2 s, a quarter of a second apart, and the first and the last
    assert capsys.readouterr().err == ""


def left(table: LiveTable) -> str:
    return table.cells()["time left"]


def test_the_time_left_is_a_bound_until_a_head_has_ended(clock: Clock) -> None:
    with live_table("sweep", 6, 100, clock=clock) as table:
        assert left(table) == "-"
        table.start([0, 1])
        assert left(table) == "-"
        train(table, clock, [0, 1], 1, 10)
        assert left(table) == "at most 58 s"  # 2 heads of 90 more epochs and 4 of 100, 10 epochs a second
        table.end(0, "complete")
        table.end(1, "complete")
        assert left(table) == "about 4 s"  # 4 heads of 10 epochs


def test_the_first_head_to_end_does_not_make_the_rest_look_short(clock: Clock) -> None:
    with live_table("sweep", 4, 100, clock=clock) as table:
        table.start([0, 1, 2, 3])
        train(table, clock, [0, 1, 2, 3], 1, 20)
        table.end(0, "complete")
        # 80 epochs for one head that ended: 60 more of each other head, not 1.
        assert left(table) == "about 18 s"
        train(table, clock, [1, 2, 3], 21, 40)
        assert left(table) == "about 18 s"  # 140 epochs for one, but 100 is the limit: 60 more


def test_a_continued_head_has_its_earlier_epochs(clock: Clock) -> None:
    with live_table("sweep", 2, 100, clock=clock) as table:
        table.start([0])
        train(table, clock, [0], 41, 50)
        table.end(0, "complete")
        assert table.cells()["epochs/s"] == "10"
        assert left(table) == "about 5 s"


def test_heads_of_different_epochs_are_a_span(clock: Clock) -> None:
    with live_table("sweep", 2, 7200, clock=clock) as table:
        table.start([0, 1])
        train(table, clock, [0], 1, 3)
        train(table, clock, [1], 1, 1)
        assert table.cells()["epoch"] == "1 to 3"
        assert left(table) == "at most 24 min 0 s"


def test_long_times_are_in_hours(clock: Clock) -> None:
    with live_table("sweep", 1, 72011, clock=clock) as table:
        table.start([0])
        train(table, clock, [0], 1, 11)
        assert left(table) == "at most 2 h 0 min"


def test_many_epochs_a_second_are_whole_numbers(clock: Clock) -> None:
    with live_table("sweep", 1, 90_000, clock=clock) as table:
        for epoch in range(1, 12_346):
            table.epoch(0, row(epoch))
        clock.now += 1
        assert table.cells()["epochs/s"] == "12,345"


def test_errors_inside_come_through(clock: Clock, terminal: io.StringIO) -> None:
    with pytest.raises(ValueError, match="inside"), live_table("sweep", 1, 1, clock=clock):
        raise ValueError("inside")


def test_an_epoch_costs_little(terminal: io.StringIO) -> None:
    with live_table("sweep", 64, 1000) as table:
        table.start(range(64))
        epochs = [row(epoch) for epoch in range(1, 201)]
        started = time.perf_counter()
        for epoch in epochs:
            for number in range(64):
                table.epoch(number, epoch)
        per_call = (time.perf_counter() - started) / (64 * len(epochs))
    # 50 us is the aim and 0.7 us are measured; the bound is wide for the run-time type checks and a busy machine.
    assert per_call < 500e-6
