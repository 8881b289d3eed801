"""A tracker that keeps a place for each trial: a folder of TensorBoard, a run of Weights & Biases."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from trainers.fit import EpochRow

__all__ = ["Opener", "Sink", "TrialSinks"]


@runtime_checkable
class Sink(Protocol):
    """The place of one trial."""

    def write(self, row: EpochRow) -> None:
        """Adds an epoch."""
        ...

    def end(self, outcome: Mapping[str, Any]) -> None:
        """Adds how the trial ended, as its line of `trials.jsonl` has it; said again, it changes nothing."""
        ...

    def close(self) -> None:
        """Writes what is left, and lets go of files and connections."""
        ...


Opener = Callable[[int, int], Sink]
"""Opens the place of a trial (its number) to which epochs from the given one on are going to be written."""


class _Open(NamedTuple):
    sink: Sink
    wrote: int


class TrialSinks:
    """Opens the place of a trial at its first epoch, and closes it once the trial has fallen silent."""

    def __init__(self, opener: Opener) -> None:
        self._opener, self._open, self._rows = opener, dict[int, _Open](), 0

    def log(self, trial: int, row: EpochRow) -> None:
        """Adds an epoch of a trial."""
        self._rows += 1
        if trial not in self._open:
            self._close_silent()
        sink = self._open[trial].sink if trial in self._open else self._opener(trial, row.epoch)
        self._open[trial] = _Open(sink, self._rows)
        sink.write(row)

    def finish(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds how the trials ended, and closes everything."""
        for row in rows:
            opened = self._open.pop(row["trial"], None)
            sink = opened.sink if opened else self._opener(row["trial"], (row["epochs"] or 0) + 1)
            sink.end(row)
            sink.close()
        for opened in self._open.values():
            opened.sink.close()
        self._open.clear()

    def _close_silent(self) -> None:
        # Heads train in step, so one that still trains has written within as many rows as there are open ones. Without
        # this, a search of a thousand heads would run out of file handles.
        oldest = self._rows - 2 * len(self._open)
        for trial in [trial for trial, opened in self._open.items() if opened.wrote < oldest]:
            self._open.pop(trial).sink.close()
