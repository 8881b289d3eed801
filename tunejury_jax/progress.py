"""Progress of long work: a live bar on a terminal, a plain line now and then anywhere else."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["LINE_EVERY_S", "Advance", "Every", "progress", "say"]

LINE_EVERY_S = 10.0


class Every:
    """Says when something is due again, so many seconds after it was last due."""

    def __init__(self, seconds: float, now: float) -> None:
        self._seconds, self._last = seconds, now

    def due(self, now: float) -> bool:
        """Whether it is due, which starts the next wait."""
        due = now - self._last >= self._seconds
        self._last = now if due else self._last
        return due


def say(*parts: str) -> None:
    """Prints the parts that are not empty as a line of progress."""
    print("; ".join(part for part in parts if part), file=sys.stderr, flush=True)


@runtime_checkable
class Advance(Protocol):
    """Reports what was done since the last call, and optionally a note on how it goes."""

    def __call__(self, count: int, note: str = "") -> None: ...


@contextmanager
def progress(title: str, total: int, unit: str) -> Iterator[Advance]:
    """Yields a function to report progress with.

    Args:
        title: What is being done.
        total: How many units there are to do.
        unit: Plural name of a unit, for example `clips`.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        with _bar(title, total, unit, console) as advance:
            yield advance
    else:
        yield _Lines(title, total, unit).advance


@contextmanager
def _bar(title: str, total: int, unit: str, console: Console) -> Iterator[Advance]:
    texts = (TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *texts, console=console) as bar:
        task = bar.add_task(title, total=total, rate="", note="")
        lines = _Lines(title, total, unit)

        def advance(count: int, note: str = "") -> None:
            lines.done += count
            bar.update(task, advance=count, rate=f"{lines.rate():.3g} {unit}/s", note=note)

        yield advance


class _Lines:
    """Prints a line every few seconds, and the last one."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit, self.done = title, total, unit, 0
        self.started = time.monotonic()
        self.every = Every(LINE_EVERY_S, self.started)

    def rate(self) -> float:
        return self.done / max(time.monotonic() - self.started, 1e-9)

    def advance(self, count: int, note: str = "") -> None:
        self.done += count
        finished = count > 0 and self.done >= self.total
        if self.every.due(time.monotonic()) or finished:
            say(self._line(finished), note)

    def _line(self, finished: bool) -> str:
        line = f"{self.title}: {self.done}/{self.total} {self.unit}, {self.rate():.3g} {self.unit}/s"
        if finished or not self.done:
            return line
        return f"{line}, {(self.total - self.done) / self.rate():.0f} s left"
