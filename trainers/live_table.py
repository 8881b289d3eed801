"""One live view of the heads in training: a table on a terminal, a plain line now and then anywhere else."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from trainers.fit import EpochRow
from tunejury_jax.progress import LINE_EVERY_S, Every, say

__all__ = ["LiveTable", "live_table"]

REFRESH_EVERY_S = 0.25
STOPPED = "complete"


class LiveTable:
    """What is known of all heads. Changes are shown now and then, as `show` is not cheap."""

    def __init__(
        self, title: str, heads: int, max_epochs: int, done: int, every_s: float, clock: Callable[[], float]
    ) -> None:
        self.title, self.show = title, _nothing
        self._heads, self._max_epochs, self._done, self._clock = heads, max_epochs, done, clock
        self._started = clock()
        self._every = Every(every_s, self._started)
        self._alive: dict[int, int] = {}  # epochs that each head has had
        self._ended: Counter[str] = Counter()
        self._epochs = self._lived = 0  # of all heads in this run, and of ended heads since they began
        self._best, self._best_head = float("inf"), ""

    def start(self, numbers: Sequence[int]) -> None:
        """A population of heads begins; their trial numbers."""
        self._alive |= dict.fromkeys(numbers, 0)
        self._refresh()

    def epoch(self, number: int, row: EpochRow) -> None:
        """A head has had an epoch."""
        self._alive[number] = row.epoch
        self._epochs += 1
        if row.valid_loss < self._best:
            self._best, self._best_head = row.valid_loss, f" (head {number})"
        self._refresh()

    def end(self, number: int, state: str) -> None:
        """A head has ended: complete, failed or pruned."""
        self._lived += self._alive.pop(number, 0)
        self._ended[state] += 1
        self._refresh()

    def cells(self) -> dict[str, str]:
        """What there is to see, by its heading."""
        ended = {name: str(self._ended[name]) for name in ("pruned", "failed")}
        return {
            "done": f"{self._done + self._ended.total()}/{self._heads}",
            "alive": str(len(self._alive)),
            "stopped": str(self._ended[STOPPED]),
            **ended,
            "epoch": self._span(),
            "best validation loss": f"{self._best:.4f}{self._best_head}" if self._best_head else "-",
            "epochs/s": f"{self.rate():.3g}" if self.rate() < 1000 else f"{self.rate():,.0f}",
            "time left": self._left(),
        }

    def rate(self) -> float:
        """Epochs of heads a second, since the beginning."""
        return self._epochs / max(self._clock() - self._started, 1e-9)

    def _refresh(self) -> None:
        if self._every.due(self._clock()):
            self.show(self)

    def _span(self) -> str:
        epochs = self._alive.values()
        if not epochs:
            return "-"
        return f"{min(epochs)}" if min(epochs) == max(epochs) else f"{min(epochs)} to {max(epochs)}"

    def _left(self) -> str:
        """Time until all heads have ended. Before any has, the longest that it can take."""
        ended = self._ended.total()
        # The first heads to end are the shortest. Counting the epochs of those that go on corrects for them, and comes
        # to the plain mean once all have ended.
        lived = self._lived + sum(self._alive.values())
        mean = min(lived / ended, self._max_epochs) if ended else self._max_epochs
        waiting = max(0, self._heads - self._done - ended - len(self._alive))
        epochs = waiting * mean + sum(max(mean - epoch, 1.0) for epoch in self._alive.values())
        if not self._epochs:
            return "-"
        return ("about " if ended else "at most ") * bool(epochs) + _duration(epochs / self.rate())


@contextmanager
def live_table(
    title: str, heads: int, max_epochs: int, done: int = 0, clock: Callable[[], float] = time.monotonic
) -> Iterator[LiveTable]:
    """Shows how a training goes, until the block is left.

    Args:
        title: What is being done.
        heads: How many heads there are in all.
        max_epochs: Epochs that a head gets at most.
        done: Heads that an earlier run has ended.
        clock: Seconds, for tests.
    """
    console = Console(stderr=True)
    table = LiveTable(title, heads, max_epochs, done, REFRESH_EVERY_S if console.is_terminal else LINE_EVERY_S, clock)
    if not console.is_terminal:
        table.show = _print
        yield table
        _print(table)
        return
    with Live(_drawn(table), console=console, auto_refresh=False) as live:
        table.show = lambda table: live.update(_drawn(table), refresh=True)
        yield table
        table.show(table)


def _nothing(table: LiveTable) -> None:
    """Nobody looks."""


def _drawn(table: LiveTable) -> Table:
    cells = table.cells()
    drawn = Table(*cells, title=table.title)
    drawn.add_row(*cells.values())
    return drawn


def _print(table: LiveTable) -> None:
    done, alive, stopped, pruned, failed, epoch, best, rate, left = table.cells().values()
    heads = f"{table.title}: {done} heads, {alive} alive, {stopped} stopped, {pruned} pruned, {failed} failed"
    say(heads, f"epoch {epoch}", f"best validation loss {best}", f"{rate} epochs/s", f"{left} left")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
