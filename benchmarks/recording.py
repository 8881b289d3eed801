"""An executor that notes what each epoch of a population cost."""

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trainers.executors import Executor, MakeExecutor, Program
from trainers.population import EpochMetrics, Hyper, Member

__all__ = ["Calls", "EpochCost", "Recording", "by_size"]


class EpochCost(NamedTuple):
    """Of one epoch: members that were computed, those that nobody needed included, and seconds."""

    lanes: int
    seconds: float


class Calls(NamedTuple):
    """Of calls that do the same: seconds of the first, which may compile, and median of the others."""

    count: int
    first_s: float
    later_s: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Calls":
        """A single call counts as one that did not compile."""
        return cls(len(seconds), seconds[0], statistics.median(seconds[1:] or seconds))

    @property
    def compile_s(self) -> float:
        """By how much the first took longer."""
        return max(0.0, self.first_s - self.later_s)


class Recording:
    """Makes executors, and has the epochs of each population in the order in which they ran."""

    def __init__(self, make: MakeExecutor) -> None:
        self._make = make
        self.populations: list[list[EpochCost]] = []

    def __call__(self, members: Mapping[int, Member], hypers: Mapping[int, Hyper], program: Program) -> Executor:
        self.populations.append([])
        return _Recorded(self._make(members, hypers, program), self.populations[-1])


class _Recorded:
    """An executor whose epochs are noted."""

    def __init__(self, executor: Executor, epochs: list[EpochCost]) -> None:
        self._executor, self._epochs = executor, epochs

    def run(self) -> dict[int, EpochMetrics]:
        started = time.perf_counter()
        metrics = self._executor.run()
        lanes = getattr(self._executor, "lanes", len(metrics))  # Sequential computes nothing for nobody
        self._epochs.append(EpochCost(lanes, time.perf_counter() - started))
        return metrics

    def member(self, number: int) -> Member:
        return self._executor.member(number)

    def drop(self, number: int) -> None:
        self._executor.drop(number)


def by_size(epochs: Sequence[EpochCost]) -> dict[int, Calls]:
    """The epochs of one population by their number of lanes."""
    sizes = dict.fromkeys(epoch.lanes for epoch in epochs)
    return {lanes: Calls.of([epoch.seconds for epoch in epochs if epoch.lanes == lanes]) for lanes in sizes}
