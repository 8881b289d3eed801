"""Commands: exit statuses, one-line errors on standard error, and the width of what is printed."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from subprocess import PIPE

import pytest
from rich.table import Table

from tunejury_jax.console import FILE_WIDTH, command, make_console


@dataclass(frozen=True)
class Options:
    """What the program does."""

    times: int = 1


def run(monkeypatch: pytest.MonkeyPatch, main: Callable[[Options], int | None], *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["program", *arguments])
    with pytest.raises(SystemExit) as left:
        command("program", Options, main)
    return left.value.code


def raising(error: BaseException) -> Callable[[Options], None]:
    def main(options: Options) -> None:
        raise error

    return main


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1), (3, 3)])
def test_the_status_is_what_main_returns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], returned: int | None, status: int
) -> None:
    assert run(monkeypatch, lambda options: returned) == status
    assert capsys.readouterr() == ("", "")


def test_options_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, lambda options: options.times, "--times", "7") == 7


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("label: got 'c'"), 2, "program: error: label: got 'c'\n"),
        (FileNotFoundError(2, "No such file or directory", "x"), 2, "program: error: [Errno 2] No such file or"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 2, "program: error: 'utf-8' codec can't"),
        (KeyboardInterrupt(), 130, "program: interrupted; the same command continues\n"),
    ],
)
def test_an_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    line: str,
) -> None:
    assert run(monkeypatch, raising(error)) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["program"])
    with pytest.raises(ZeroDivisionError):
        command("program", Options, raising(ZeroDivisionError()))


@pytest.mark.parametrize(
    ("arguments", "quoted"), [("--tims 1", "--tims"), ("--times many", "many"), ("extra", "extra")]
)
def test_unknown_options_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: str, quoted: str
) -> None:
    assert run(monkeypatch, lambda options: 0, *arguments.split()) == 2
    assert quoted in capsys.readouterr().err


def test_help_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, lambda options: 1, "--help") == 0
    assert "What the program does." in capsys.readouterr().out


def test_tables_are_wide_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print("word " * 60)
    first, *rest = capsys.readouterr().out.rstrip("\n").split("\n")
    assert FILE_WIDTH - 5 <= len(first) <= FILE_WIDTH
    assert len(rest) == 2


@pytest.mark.parametrize("text", ["[verse] la [/verse]", "[/]", ":fire:", "[link=x]y[/link]"])
def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str], text: str) -> None:
    table = Table("prompt")
    table.add_row(text)
    make_console().print(text)
    make_console().print(table)
    assert capsys.readouterr().out.count(text) == 2


def test_who_reads_no_further_is_told_nothing() -> None:
    program = "from tunejury_jax.console import command; from dataclasses import make_dataclass as d\n"
    program += "command('p', d('O', []), lambda options: print('line\\n' * 100_000))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_another_broken_pipe_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, raising(BrokenPipeError("worker gone"))) == 2
    assert "worker gone" in capsys.readouterr().err
