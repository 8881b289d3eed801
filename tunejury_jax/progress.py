"""Progress of long work: a live bar on a terminal, a plain line now and then anywhere else."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["Advance", "progress"]

Advance = Callable[[int], None]
LINE_EVERY_S = 10.0


@contextmanager
def progress(title: str, total: int, unit: str) -> Iterator[Advance]:
    """Yields a function to call with the number of units done since the last call.

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
    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total, rate="")
        lines = _Lines(title, total, unit)

        def advance(count: int) -> None:
            lines.done += count
            bar.update(task, advance=count, rate=f"{lines.rate():.3g} {unit}/s")

        yield advance


class _Lines:
    """Prints a line every few seconds, and the last one."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit, self.done = title, total, unit, 0
        self.started = self.printed = time.monotonic()

    def rate(self) -> float:
        return self.done / max(time.monotonic() - self.started, 1e-9)

    def advance(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if self.done >= self.total or now - self.printed >= LINE_EVERY_S:
            self.printed = now
            left_s = (self.total - self.done) / max(self.rate(), 1e-9)
            text = f"{self.title}: {self.done}/{self.total} {self.unit}, {self.rate():.3g} {self.unit}/s"
            print(f"{text}, {left_s:.0f} s left" if self.done < self.total else text, file=sys.stderr, flush=True)
