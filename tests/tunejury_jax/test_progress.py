"""Progress: plain lines where there is no terminal, a bar where there is one, and always the last line."""

import io

import pytest
from rich.console import Console

from tunejury_jax import progress as module
from tunejury_jax.progress import LINE_EVERY_S, progress


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    shown = io.StringIO()
    monkeypatch.setattr(module, "Console", lambda stderr: Console(file=shown, force_terminal=True, width=200))
    return shown


def test_a_line_now_and_then_and_the_last_one(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("encode", 6, "rows") as advance:
        for _ in range(6):
            clock.now += 4.0
            advance(1)
    assert capsys.readouterr() == (
        "",
        "encode: 3/6 rows, 0.25 rows/s, 12 s left\nencode: 6/6 rows, 0.25 rows/s\n",
    )


def test_the_last_line_comes_at_once(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("encode", 2, "rows") as advance:
        clock.now += 0.5
        advance(2)
        assert capsys.readouterr().err == "encode: 2/2 rows, 4 rows/s\n"


def test_nothing_is_printed_in_between(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("encode", 100, "rows") as advance:
        for _ in range(99):
            clock.now += LINE_EVERY_S / 100
            advance(1)
    assert capsys.readouterr().err == ""


def test_a_note_ends_the_line(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("train", 4, "epochs") as advance:
        clock.now += LINE_EVERY_S
        advance(1, note="loss 0.6")
        clock.now += 1
        advance(3, "done")
    assert capsys.readouterr().err.splitlines() == [
        "train: 1/4 epochs, 0.1 epochs/s, 30 s left; loss 0.6",
        "train: 4/4 epochs, 0.364 epochs/s; done",
    ]


def test_nothing_done_yet_has_no_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("train", 4, "epochs") as advance:
        clock.now += LINE_EVERY_S
        advance(0, "compiling")
    assert capsys.readouterr().err == "train: 0/4 epochs, 0 epochs/s; compiling\n"


def test_zero_in_all_is_no_work(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("encode", 0, "rows") as advance:
        advance(0)
    assert capsys.readouterr().err == ""


def test_more_than_announced_is_finished(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("encode", 2, "rows") as advance:
        clock.now += 1
        advance(3)
    assert capsys.readouterr().err == "encode: 3/2 rows, 3 rows/s\n"


def test_no_time_passed_is_no_division_by_zero(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("encode", 1, "rows") as advance:
        advance(1)
    assert capsys.readouterr().err.startswith("encode: 1/1 rows, ")


def test_a_terminal_shows_a_bar(terminal: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("encode", 4, "rows") as advance:
        advance(1)
        advance(3, "three more")
    assert "4/4" in terminal.getvalue()
    assert "three more" in terminal.getvalue()
    assert "rows/s" in terminal.getvalue()
    assert capsys.readouterr().err == ""


def test_a_bar_of_nothing(terminal: io.StringIO) -> None:
    with progress("encode", 0, "rows") as advance:
        advance(0)
    assert "0/0" in terminal.getvalue()


@pytest.mark.parametrize("total", [0, 3])
def test_errors_inside_come_through(total: int) -> None:
    with pytest.raises(ValueError, match="inside"), progress("encode", total, "rows"):
        raise ValueError("inside")
