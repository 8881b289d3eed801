"""How the members of a population run: one after another, or as one vmapped program over all devices.

Batching members gains nothing on a CPU and everything on an accelerator (docs/performance.md), so the backend
decides. Both give every member the same trajectory.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from trainers.data import Arrays
from trainers.population import OPTIONS, EpochMetrics, Hyper, Member, epoch, run_epoch
from trainers.view import Pairs

__all__ = ["Executor", "MakeExecutor", "Program", "Sequential", "Stacked", "for_backend", "lanes_for"]

Tree = TypeVar("Tree")
LANES = PartitionSpec("trial")
SHARED = PartitionSpec()
STEPS = 8
"""Sizes that a population of many lanes goes through before it is an eighth of what it was."""


class Program(NamedTuple):
    """What the members of a population share: the data, and what their compiled epoch is specialised to."""

    arrays: Arrays
    pairs: Pairs
    widths: tuple[int, ...]
    batch_size: int


@runtime_checkable
class Executor(Protocol):
    """Holds the members of a population, by number, and runs epochs of them."""

    def run(self) -> dict[int, EpochMetrics]:
        """Runs one epoch of every member."""
        ...

    def member(self, number: int) -> Member:
        """The state of one member."""
        ...

    def drop(self, number: int) -> None:
        """Forgets a member that has stopped."""
        ...


MakeExecutor = Callable[[Mapping[int, Member], Mapping[int, Hyper], Program], Executor]


class Sequential:
    """Members one after another over one compiled epoch."""

    def __init__(self, members: Mapping[int, Member], hypers: Mapping[int, Hyper], program: Program) -> None:
        self._members, self._hypers, self._program = dict(members), hypers, program

    def run(self) -> dict[int, EpochMetrics]:
        return {number: self._run_one(number) for number in self._members}

    def member(self, number: int) -> Member:
        return self._members[number]

    def drop(self, number: int) -> None:
        del self._members[number]

    def _run_one(self, number: int) -> EpochMetrics:
        arrays, pairs, widths, batch_size = self._program
        with jax.transfer_guard("disallow"):  # an epoch reads nothing from the host
            self._members[number], metrics = run_epoch(
                self._members[number], self._hypers[number], arrays, pairs, widths=widths, batch_size=batch_size
            )
        return jax.device_get(metrics)


class Stacked:
    """Members as lanes of one vmapped program, sharded over all devices by the mesh axis `trial`.

    As members stop, the lanes are cut down by eighths of the population, and below one eighth by powers of two:
    between compiling anew and running lanes for nothing (docs/performance.md). A lane whose member has stopped, or
    that fills up an eighth, runs on for nothing: its number is None.
    """

    def __init__(self, members: Mapping[int, Member], hypers: Mapping[int, Hyper], program: Program) -> None:
        self._mesh = jax.make_mesh((jax.device_count(),), ("trial",), axis_types=(AxisType.Auto,))
        self._arrays, self._pairs = self._place((program.arrays, program.pairs), SHARED)
        self._run = _stacked_epoch(self._mesh, program.widths, program.batch_size)
        self._population = len(members)
        spare = self._size(len(members)) - len(members)
        self._lanes: list[int | None] = [*members, *[None] * spare]
        numbers = [*members, *[next(iter(members))] * spare]
        self._members = self._place(_stack([members[number] for number in numbers]), LANES)
        self._hypers = self._place(_stack([hypers[number] for number in numbers]), LANES)

    @property
    def lanes(self) -> int:
        """How many lanes an epoch computes."""
        return len(self._lanes)

    def run(self) -> dict[int, EpochMetrics]:
        self._compact()
        with jax.transfer_guard("disallow"):
            self._members, metrics = self._run(self._members, self._hypers, self._arrays, self._pairs)
        by_lane = jax.device_get(metrics)
        numbered = [(lane, number) for lane, number in enumerate(self._lanes) if number is not None]
        return {number: EpochMetrics(*(values[lane] for values in by_lane)) for lane, number in numbered}

    def member(self, number: int) -> Member:
        return self._take(self._members, self._lanes.index(number), SHARED)

    def drop(self, number: int) -> None:
        self._lanes[self._lanes.index(number)] = None

    def _compact(self) -> None:
        order = sorted(range(len(self._lanes)), key=lambda lane: self._lanes[lane] is None)
        kept = order[: self._size(len(self._lanes) - self._lanes.count(None))]
        if len(kept) < len(self._lanes):
            self._members, self._hypers = self._take((self._members, self._hypers), kept, LANES)
            self._lanes = [self._lanes[lane] for lane in kept]

    def _size(self, members: int) -> int:
        return lanes_for(members, self._population, self._mesh.size)

    def _place(self, tree: Tree, spec: PartitionSpec) -> Tree:
        # What lies on one process's device cannot be sharded over the devices of several; what lies on the host can.
        source = jax.device_get(tree) if jax.process_count() > 1 else tree
        return jax.device_put(source, NamedSharding(self._mesh, spec))

    def _take(self, tree: Tree, lanes: int | list[int], spec: PartitionSpec) -> Tree:
        return _take_lanes(NamedSharding(self._mesh, spec))(tree, np.asarray(lanes))


def lanes_for(members: int, population: int, devices: int) -> int:
    """The lanes that what is left of a population runs in: the next size that is compiled for and shared evenly."""
    step, power = math.ceil(population / STEPS), 1 << (members - 1).bit_length()
    lanes = min(power, step) if members <= step else math.ceil(members / step) * step
    return math.ceil(lanes / devices) * devices


def for_backend() -> MakeExecutor:
    """What suits the devices at hand."""
    return Sequential if jax.default_backend() == "cpu" and jax.device_count() == 1 else Stacked


@cache
def _stacked_epoch(mesh: Mesh, widths: tuple[int, ...], batch_size: int) -> Callable[..., tuple[Member, EpochMetrics]]:
    """`epoch` of many members at once; each device runs its own lanes and needs nothing of the others."""
    lanes = jax.vmap(partial(epoch, widths=widths, batch_size=batch_size), in_axes=(0, 0, None, None))
    sharded = jax.shard_map(
        lanes, mesh=mesh, in_specs=(LANES, LANES, SHARED, SHARED), out_specs=(LANES, LANES), check_vma=False
    )
    outputs = (NamedSharding(mesh, LANES), NamedSharding(mesh, SHARED))
    return jax.jit(sharded, donate_argnums=0, out_shardings=outputs, compiler_options=OPTIONS)


@cache
def _take_lanes(sharding: NamedSharding) -> Callable[..., Any]:
    return jax.jit(lambda tree, lanes: jax.tree.map(lambda values: values[lanes], tree), out_shardings=sharding)


def _stack(trees: Sequence[Tree]) -> Tree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
