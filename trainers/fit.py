"""Fitting heads: the Python loop around the engine's epochs.

Heads of one shape form a population and advance epoch by epoch together, until each has run out of patience or
epochs, or is stopped at a rung of successive halving. A head whose loss stops being finite is marked as failed, and
the others go on.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import jax

from trainers.data import Dataset
from trainers.executors import MakeExecutor, Program, for_backend
from trainers.memory import require_memory
from trainers.population import Hyper, Member, init_member
from trainers.recipe import Recipe
from trainers.saves import EpochValues, History, Saved, Saves
from trainers.view import View, own_layout, view_all
from tunejury_jax.head import Variables, join_input
from tunejury_jax.head_config import HeadConfig

__all__ = ["EpochRow", "Fit", "State", "fit"]

State = Literal["complete", "pruned", "failed"]


class EpochRow(NamedTuple):
    """One epoch of one head; losses in nats a pair."""

    head: int
    epoch: int
    train_loss: float
    valid_loss: float
    valid_accuracy: float


class Fit(NamedTuple):
    """A fitted head: its best weights, where they were found, and what went wrong if anything did.

    `variables` are those of a head for the recipe's own blocks; `valid_score` is their mean score on the validation
    pairs, the constant that margins do not show.
    """

    recipe: Recipe
    state: State
    variables: Variables
    valid_loss: float
    valid_accuracy: float
    valid_score: float
    best_epoch: int
    epochs: int
    seconds: float
    error: str | None


def fit(
    recipes: Mapping[int, Recipe],
    dataset: Dataset,
    on_epoch: Callable[[EpochRow], None] = lambda row: None,
    *,
    halving: Sequence[int] = (),
    saves: Saves | None = None,
    executor: MakeExecutor | None = None,
) -> Iterator[tuple[int, Fit]]:
    """Fits a head for each recipe and yields each as it ends.

    Args:
        recipes: By number, any mixture; those with the same widths and batch size form a population.
        dataset: Features and pairs.
        on_epoch: Called with each head's epochs, for logs and progress; again for epochs that were restored.
        halving: Epochs after which the worse half of a population's remaining heads is stopped.
        saves: Where the state of unfinished heads is kept, and continued from if it is there.
        executor: How a population runs; by default what suits the backend.

    Yields:
        Number and fit. A fit is not needed again once it was taken: what was yielded is not fitted anew as long as
        it is not among the recipes of the call that continues.

    Raises:
        ValueError: A recipe does not fit the data set, or the heads do not fit into memory.
    """
    if not recipes:
        return
    pairs, views = view_all(dataset, [recipe.data for recipe in recipes.values()])
    viewed = dict(zip(recipes, views, strict=True))
    for numbers in _populations(recipes):
        shape = recipes[numbers[0]].train
        require_memory(len(numbers), HeadConfig(dataset.layout.dim, shape.widths), shape.batch_size)
        program = Program(dataset.arrays, pairs, shape.widths, shape.batch_size)
        heads = {number: recipes[number] for number in numbers}
        population = _Population(heads, viewed, dataset, program, saves, executor or for_backend())
        yield from population.fit(on_epoch, halving)


class _Population:
    """Members of one shape, and what the host knows of each; those that have ended are forgotten."""

    def __init__(
        self,
        recipes: Mapping[int, Recipe],
        views: Mapping[int, View],
        dataset: Dataset,
        program: Program,
        saves: Saves | None,
        executor: MakeExecutor,
    ) -> None:
        self._recipes, self._dataset, self._saves = recipes, dataset, saves
        hypers = {number: Hyper.of(recipe.train, views[number]) for number, recipe in recipes.items()}
        dims = [block.dim for block in dataset.layout.blocks]

        def start(number: int) -> Member:
            return init_member(program.widths, dims, hypers[number])

        found = saves.restore(recipes, start) if saves else {}
        saved = found or {number: Saved(start(number), History()) for number in recipes}
        self._histories = {number: one.history for number, one in saved.items()}
        self._executor = executor({number: one.member for number, one in saved.items()}, hypers, program)

    def fit(self, on_epoch: Callable[[EpochRow], None], halving: Sequence[int]) -> Iterator[tuple[int, Fit]]:
        for number, history in self._histories.items():
            for epoch in range(1, len(history.epochs) + 1):
                on_epoch(_row(number, history, epoch))
        yield from self._end([number for number, history in self._histories.items() if history.pruned])
        while self._histories:
            stopped = self._run_epoch()
            for number, history in self._histories.items():
                on_epoch(_row(number, history, len(history.epochs)))
            yield from self._end(stopped)
            pruned = self._prune(halving)
            self._save(forced=bool(pruned))
            yield from self._end(pruned)

    def _run_epoch(self) -> list[int]:
        """Runs an epoch of all that remain and returns those that it was the last one of."""
        started = time.perf_counter()
        metrics = self._executor.run()
        seconds = (time.perf_counter() - started) / len(metrics)
        for number, values in metrics.items():
            self._histories[number].add(values, seconds)
        return [number for number, values in metrics.items() if not (values.active and self._goes_on(number))]

    def _goes_on(self, number: int) -> bool:
        history = self._histories[number]
        return history.finite and len(history.epochs) < self._recipes[number].train.max_epochs

    def _prune(self, halving: Sequence[int]) -> list[int]:
        """At a rung, the worse half by the lowest validation loss so far; the one in the middle goes on."""
        if not self._histories or len(next(iter(self._histories.values())).epochs) not in halving:
            return []
        ranked = sorted(self._histories, key=lambda number: self._histories[number].lowest)
        pruned = ranked[-(-len(ranked) // 2) :]
        for number in pruned:
            self._histories[number].pruned = True
        return pruned

    def _save(self, *, forced: bool) -> None:
        if self._saves and self._histories and (forced or self._saves.due):
            members = {n: Saved(self._executor.member(n), history) for n, history in self._histories.items()}
            self._saves.save(members, self._recipes)

    def _end(self, numbers: Sequence[int]) -> Iterator[tuple[int, Fit]]:
        for number in numbers:
            fitted = self._fit_of(number)
            self._executor.drop(number)
            del self._histories[number]
            yield number, fitted

    def _fit_of(self, number: int) -> Fit:
        recipe, history = self._recipes[number], self._histories[number]
        best = jax.device_get(self._executor.member(number).best)
        epoch = int(best.epoch)
        measured = history.epochs[epoch - 1] if epoch else EpochValues(*[math.nan] * len(EpochValues._fields))
        error = None if history.finite else f"loss is not finite in epoch {len(history.epochs)}: {recipe.train}"
        return Fit(
            recipe=recipe,
            state="failed" if error else "pruned" if history.pruned else "complete",
            variables=self._own_input({"params": best.params, "batch_stats": best.batch_stats}, recipe),
            valid_loss=float(best.loss),
            valid_accuracy=measured.valid_accuracy,
            valid_score=measured.valid_score,
            best_epoch=epoch,
            epochs=len(history.epochs),
            seconds=history.seconds,
            error=error,
        )

    def _own_input(self, variables: Variables, recipe: Recipe) -> Variables:
        """The head without the blocks it never saw."""
        layout = self._dataset.layout
        own = own_layout(layout, recipe.data).blocks
        return join_input(variables, [block in own for block in layout.blocks])


def _row(number: int, history: History, epoch: int) -> EpochRow:
    values = history.epochs[epoch - 1]
    return EpochRow(number, epoch, values.train_loss, values.valid_loss, values.valid_accuracy)


def _populations(recipes: Mapping[int, Recipe]) -> Iterator[list[int]]:
    """The numbers of the recipes that can share a compiled epoch."""
    shapes = {number: (recipe.train.widths, recipe.train.batch_size) for number, recipe in recipes.items()}
    for shape in dict.fromkeys(shapes.values()):
        yield [number for number in recipes if shapes[number] == shape]
