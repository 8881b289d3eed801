"""Fitting heads: the Python loop around the engine's epochs.

Heads of one shape form a population and advance epoch by epoch together, until each has run out of patience or
epochs. A head whose loss stops being finite is marked as failed, and the others go on.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainers.data import Dataset
from trainers.executors import Executor, Program, for_backend
from trainers.population import EpochMetrics, Hyper, Member, Pairs, init_member
from trainers.recipe import TrainConfig
from tunejury_jax.head import Variables
from tunejury_jax.head_config import HeadConfig

__all__ = ["EpochRow", "Fit", "fit"]

MakeExecutor = Callable[[Sequence[Member], Sequence[Hyper], Program], Executor]


class EpochRow(NamedTuple):
    """One epoch of one head; losses in nats a pair."""

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


def fit(
    configs: Sequence[TrainConfig],
    dataset: Dataset,
    on_epoch: Callable[[EpochRow], None] = lambda row: None,
    executor: MakeExecutor | None = None,
) -> list[Fit]:
    """Fits a head for each configuration.

    Args:
        configs: Any mixture; those with the same widths and batch size form a population.
        dataset: Features and pairs.
        on_epoch: Called with each head's epochs, for logs and progress.
        executor: How a population runs; by default what suits the backend.

    Returns:
        One fit a configuration, in the same order; a head whose loss stopped being finite has an `error`.

    Raises:
        ValueError: The train or validation split has too few usable pairs.
    """
    pairs = Pairs(jnp.asarray(dataset.pairs("train")), jnp.asarray(dataset.pairs("valid")))
    if len(pairs.train) < 2:
        raise ValueError("split: 'train' has 1 usable pair, BatchNorm needs at least 2")
    fits: dict[int, Fit] = {}
    for heads in _populations(configs):
        population = _Population([configs[i] for i in heads], heads, dataset, pairs, executor or for_backend())
        fits |= dict(zip(heads, population.fit(on_epoch), strict=True))
    return [fits[i] for i in range(len(configs))]


class _Population:
    """Members of one shape, and what the host knows of each."""

    def __init__(
        self,
        configs: Sequence[TrainConfig],
        heads: Sequence[int],
        dataset: Dataset,
        pairs: Pairs,
        executor: MakeExecutor,
    ) -> None:
        shape, columns = configs[0], np.ones(dataset.layout.dim, bool)
        hypers = [Hyper.of(config, columns) for config in configs]
        members = [init_member(HeadConfig(dataset.layout.dim, shape.widths), hyper) for hyper in hypers]
        program = Program(dataset.arrays, pairs, shape.widths, shape.batch_size)
        self._configs, self._heads = configs, heads
        self._executor = executor(members, hypers, program)
        self._rows: list[list[EpochRow]] = [[] for _ in configs]
        self._seconds = [0.0] * len(configs)
        self._errors: list[str | None] = [None] * len(configs)

    def fit(self, on_epoch: Callable[[EpochRow], None]) -> list[Fit]:
        active = list(range(len(self._configs)))
        while active:
            started = time.perf_counter()
            metrics = dict(zip(active, self._executor.run(active), strict=True))
            seconds = (time.perf_counter() - started) / len(active)
            for number, values in metrics.items():
                self._record(number, values, seconds)
                on_epoch(self._rows[number][-1])
            active = [number for number in active if metrics[number].active and self._goes_on(number)]
        return [self._result(number) for number in range(len(self._configs))]

    def _record(self, number: int, metrics: EpochMetrics, seconds: float) -> None:
        measured = (float(metrics.train_loss), float(metrics.valid_loss), float(metrics.valid_accuracy))
        row = EpochRow(self._heads[number], len(self._rows[number]) + 1, *measured)
        self._rows[number].append(row)
        self._seconds[number] += seconds
        if not np.isfinite([row.train_loss, row.valid_loss]).all():
            self._errors[number] = f"loss is not finite in epoch {row.epoch}: {self._configs[number]}"

    def _goes_on(self, number: int) -> bool:
        return self._errors[number] is None and len(self._rows[number]) < self._configs[number].max_epochs

    def _result(self, number: int) -> Fit:
        best, rows = self._executor.member(number).best, self._rows[number]
        epoch = int(best.epoch)
        return Fit(
            config=self._configs[number],
            variables=jax.device_get({"params": best.params, "batch_stats": best.batch_stats}),
            valid_loss=float(best.loss),
            valid_accuracy=rows[epoch - 1].valid_accuracy if epoch else float("nan"),
            best_epoch=epoch,
            epochs=len(rows),
            seconds=self._seconds[number],
            error=self._errors[number],
        )


def _populations(configs: Sequence[TrainConfig]) -> Iterator[list[int]]:
    """The numbers of the configurations that can share a compiled epoch."""
    shapes = dict.fromkeys((config.widths, config.batch_size) for config in configs)
    for shape in shapes:
        yield [i for i, config in enumerate(configs) if (config.widths, config.batch_size) == shape]
