"""Fitting heads: the Python loop around the engine's epochs.

Heads of one shape form a population and advance epoch by epoch together. On a CPU they run one after another, since
batching them gains nothing there; on an accelerator they run as one vmapped program, which is cut down to the next
power of two as members stop (performance.md sections 4 and 8).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from tunejury_jax.head import Variables
from tunejury_jax.head_config import HeadConfig

from trainers.config import TrainConfig
from trainers.data import Arrays, Dataset
from trainers.population import EpochMetrics, Hyper, Member, Pairs, init_member, run_epoch, run_stacked_epoch

__all__ = ["EpochRow", "Fit", "Sequential", "Stacked", "fit"]

Tree = TypeVar("Tree", Member, Hyper)


class EpochRow(NamedTuple):
    """One epoch of one head; losses in nats."""

    head: int
    epoch: int
    train_loss: float
    valid_loss: float
    valid_accuracy: float


class Fit(NamedTuple):
    """A fitted head: its best weights, where they were found, and what went wrong if anything did."""

    config: TrainConfig
    variables: Variables
    valid_loss: float
    valid_accuracy: float
    best_epoch: int
    epochs: int
    seconds: float
    error: str | None


class Executor(Protocol):
    """Holds the members of a population and runs epochs of some of them."""

    def run(self, members: Sequence[int]) -> list[EpochMetrics]:
        """Runs one epoch of these members; returns their metrics in the same order."""
        ...

    def member(self, index: int) -> Member:
        """The state of one member."""
        ...


class Sequential:
    """Members one after another over one compiled epoch."""

    def __init__(self, members: Sequence[Member], hypers: Sequence[Hyper], arrays: Arrays, pairs: Pairs, config: TrainConfig) -> None:
        self._members, self._hypers = list(members), hypers
        self._arrays, self._pairs, self._static = arrays, pairs, _static(config)

    def run(self, members: Sequence[int]) -> list[EpochMetrics]:
        return [self._run_one(index) for index in members]

    def member(self, index: int) -> Member:
        return self._members[index]

    def _run_one(self, index: int) -> EpochMetrics:
        state, metrics = run_epoch(self._members[index], self._hypers[index], self._arrays, self._pairs, **self._static)
        self._members[index] = state
        return jax.device_get(metrics)


class Stacked:
    """Members as one vmapped program, compacted to the next power of two as they stop."""

    def __init__(self, members: Sequence[Member], hypers: Sequence[Hyper], arrays: Arrays, pairs: Pairs, config: TrainConfig) -> None:
        self._lanes = list(range(len(members)))
        self._stack, self._hypers = _stack(members), _stack(hypers)
        self._arrays, self._pairs, self._static = arrays, pairs, _static(config)
        self._finished: dict[int, Member] = {}

    def run(self, members: Sequence[int]) -> list[EpochMetrics]:
        self._compact(members)
        self._stack, metrics = run_stacked_epoch(self._stack, self._hypers, self._arrays, self._pairs, **self._static)
        host = jax.device_get(metrics)
        return [jax.tree.map(lambda values, lane=self._lanes.index(m): values[lane], host) for m in members]

    def member(self, index: int) -> Member:
        return self._finished[index] if index in self._finished else self._lane(self._lanes.index(index))

    def _lane(self, lane: int) -> Member:
        return jax.tree.map(lambda values: values[lane], self._stack)

    def _compact(self, members: Sequence[int]) -> None:
        size = 1 << (len(members) - 1).bit_length()
        if size >= len(self._lanes):
            return
        others = [index for index in self._lanes if index not in members]
        kept = [*members, *others[: size - len(members)]]
        self._finished |= {index: self.member(index) for index in others if index not in kept}
        lanes = jnp.asarray([self._lanes.index(index) for index in kept])
        self._stack, self._hypers = jax.tree.map(lambda values: values[lanes], (self._stack, self._hypers))
        self._lanes = kept


def fit(
    configs: Sequence[TrainConfig],
    dataset: Dataset,
    on_epoch: Callable[[EpochRow], None] = lambda row: None,
    executor: Callable[..., Executor] | None = None,
) -> list[Fit]:
    """Fits a head for each configuration.

    Args:
        configs: Any mixture; those with the same widths and batch size form a population.
        dataset: Features and pairs.
        on_epoch: Called with each head's epochs, for logs and progress.
        executor: How a population runs; by default what suits the backend.

    Returns:
        One fit a configuration, in the same order; a head whose loss stops being finite has an `error`.

    Raises:
        ValueError: The train or validation split has too few usable pairs.
    """
    pairs = Pairs(jnp.asarray(dataset.pairs("train")), jnp.asarray(dataset.pairs("valid")))
    if len(pairs.train) < 2:
        raise ValueError("split: 'train' has 1 usable pair, BatchNorm needs at least 2")
    run = executor or (Sequential if jax.default_backend() == "cpu" else Stacked)
    fits: dict[int, Fit] = {}
    for group in _groups(configs):
        population = _Population([configs[i] for i in group], dataset, pairs, run)
        fits |= dict(zip(group, population.fit(lambda row, g=group: on_epoch(row._replace(head=g[row.head]))), strict=True))
    return [fits[i] for i in range(len(configs))]


class _Population:
    """Members of one shape, and what the host knows of each."""

    def __init__(self, configs: Sequence[TrainConfig], dataset: Dataset, pairs: Pairs, executor: Callable[..., Executor]) -> None:
        columns = np.ones(dataset.layout.dim, bool)
        hypers = [Hyper.of(config, columns) for config in configs]
        head = HeadConfig(dataset.layout.dim, configs[0].widths)
        members = [init_member(head, hyper) for hyper in hypers]
        self.configs = configs
        self.executor = executor(members, hypers, dataset.arrays, pairs, configs[0])
        self.rows: list[list[EpochRow]] = [[] for _ in configs]
        self.seconds = [0.0] * len(configs)
        self.errors: list[str | None] = [None] * len(configs)

    def fit(self, on_epoch: Callable[[EpochRow], None]) -> list[Fit]:
        active = list(range(len(self.configs)))
        while active:
            started = time.perf_counter()
            metrics = self.executor.run(active)
            seconds = (time.perf_counter() - started) / len(active)
            for index, values in zip(active, metrics, strict=True):
                self._record(index, values, seconds)
                on_epoch(self.rows[index][-1])
            active = [i for i, values in zip(active, metrics, strict=True) if self._goes_on(i, bool(values.active))]
        return [self._result(index) for index in range(len(self.configs))]

    def _record(self, index: int, metrics: EpochMetrics, seconds: float) -> None:
        values = (float(metrics.train_loss), float(metrics.valid_loss), float(metrics.valid_accuracy))
        row = EpochRow(index, len(self.rows[index]) + 1, *values)
        self.rows[index].append(row)
        self.seconds[index] += seconds
        if not np.isfinite([row.train_loss, row.valid_loss]).all():
            self.errors[index] = f"loss is not finite in epoch {row.epoch}: {self.configs[index]}"

    def _goes_on(self, index: int, active: bool) -> bool:
        return active and self.errors[index] is None and len(self.rows[index]) < self.configs[index].max_epochs

    def _result(self, index: int) -> Fit:
        best, rows = self.executor.member(index).best, self.rows[index]
        epoch = int(best.epoch)
        accuracy = rows[epoch - 1].valid_accuracy if epoch else float("nan")
        variables = jax.device_get({"params": best.params, "batch_stats": best.batch_stats})
        return Fit(
            self.configs[index], variables, float(best.loss), accuracy, epoch, len(rows), self.seconds[index], self.errors[index]
        )


def _groups(configs: Sequence[TrainConfig]) -> Iterator[list[int]]:
    shapes = dict.fromkeys((config.widths, config.batch_size) for config in configs)
    for shape in shapes:
        yield [i for i, config in enumerate(configs) if (config.widths, config.batch_size) == shape]


def _static(config: TrainConfig) -> dict[str, object]:
    return {"widths": config.widths, "batch_size": config.batch_size}


def _stack(trees: Sequence[Tree]) -> Tree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
