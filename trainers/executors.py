"""How the members of a population run: one after another, or as one vmapped program.

Batching members gains nothing on a CPU and everything on an accelerator (performance.md sections 4, 5), so the
backend decides. Both give every member the same trajectory.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp

from trainers.data import Arrays
from trainers.population import EpochMetrics, Hyper, Member, Pairs, run_epoch, run_stacked_epoch

__all__ = ["Executor", "Program", "Sequential", "Stacked", "for_backend"]

Tree = TypeVar("Tree", Member, Hyper)


class Program(NamedTuple):
    """What the members of a population share: the data, and what their compiled epoch is specialised to."""

    arrays: Arrays
    pairs: Pairs
    widths: tuple[int, ...]
    batch_size: int


@runtime_checkable
class Executor(Protocol):
    """Holds the members of a population and runs epochs of some of them."""

    def run(self, members: Sequence[int]) -> list[EpochMetrics]:
        """Runs one epoch of these members, by number; returns their metrics in the same order."""
        ...

    def member(self, number: int) -> Member:
        """The state of one member."""
        ...


class Sequential:
    """Members one after another over one compiled epoch."""

    def __init__(self, members: Sequence[Member], hypers: Sequence[Hyper], program: Program) -> None:
        self._members, self._hypers, self._program = list(members), hypers, program

    def run(self, members: Sequence[int]) -> list[EpochMetrics]:
        return [self._run_one(number) for number in members]

    def member(self, number: int) -> Member:
        return self._members[number]

    def _run_one(self, number: int) -> EpochMetrics:
        arrays, pairs, widths, batch_size = self._program
        self._members[number], metrics = run_epoch(
            self._members[number], self._hypers[number], arrays, pairs, widths=widths, batch_size=batch_size
        )
        return jax.device_get(metrics)


class Stacked:
    """Members as lanes of one vmapped program, cut down to the next power of two as they stop.

    The lane of a member that has stopped may run on for nothing, so its state is put aside.
    """

    def __init__(self, members: Sequence[Member], hypers: Sequence[Hyper], program: Program) -> None:
        self._program = program
        self._lanes = list(range(len(members)))
        self._members, self._hypers = _stack(members), _stack(hypers)
        self._finished: dict[int, Member] = {}

    def run(self, members: Sequence[int]) -> list[EpochMetrics]:
        idle = [number for number in self._lanes if number not in members]
        self._finished |= {number: self.member(number) for number in idle if number not in self._finished}
        self._compact(members, idle)
        arrays, pairs, widths, batch_size = self._program
        self._members, metrics = run_stacked_epoch(
            self._members, self._hypers, arrays, pairs, widths=widths, batch_size=batch_size
        )
        by_lane = jax.device_get(metrics)
        return [EpochMetrics(*(values[self._lanes.index(number)] for values in by_lane)) for number in members]

    def member(self, number: int) -> Member:
        if number in self._finished:
            return self._finished[number]
        lane = self._lanes.index(number)
        return jax.tree.map(lambda values: values[lane], self._members)

    def _compact(self, members: Sequence[int], idle: Sequence[int]) -> None:
        size = 1 << (len(members) - 1).bit_length()
        if size >= len(self._lanes):
            return
        kept = [*members, *idle[: size - len(members)]]
        lanes = jnp.asarray([self._lanes.index(number) for number in kept])
        self._members, self._hypers = jax.tree.map(lambda values: values[lanes], (self._members, self._hypers))
        self._lanes = kept


def for_backend() -> Callable[[Sequence[Member], Sequence[Hyper], Program], Executor]:
    """What suits the devices at hand."""
    return Sequential if jax.default_backend() == "cpu" else Stacked


def _stack(trees: Sequence[Tree]) -> Tree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
