"""An executor that notes what each epoch of a population cost."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from trainers.executors import Executor, MakeExecutor, Program
from trainers.population import EpochMetrics, Hyper, Member

__all__ = ["EpochCost", "Recording"]


class EpochCost(NamedTuple):
    """Of one epoch: members that were computed, those that nobody needed included, and seconds."""

    lanes: int
    seconds: float


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
        self.member, self.drop = executor.member, executor.drop

    def run(self) -> dict[int, EpochMetrics]:
        started = time.perf_counter()
        metrics = self._executor.run()
        lanes = getattr(self._executor, "lanes", len(metrics))  # Sequential computes nothing for nobody
        self._epochs.append(EpochCost(lanes, time.perf_counter() - started))
        return metrics
