"""What is trained at each place of a sweep: a point of a search space, or an item of a list.

The first points are a scrambled Sobol sequence, which covers the space evenly; later ones come from TPE, told what the
earlier ones reached. Each follows from the sweep's seed, its place and the heads before it alone, so that a continued
sweep goes on as an undisturbed one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial
from scipy.stats import qmc

from trainers.config import SweepConfig
from trainers.recipe import Recipe
from trainers.space import Dimension, SearchSpace, recipe_of

__all__ = ["Listed", "Sampler", "Searched", "distributions", "sobol_points"]

POPULATION = 8
"""Heads proposed together where none are asked for."""


class Sampler(Protocol):
    """Where the heads of a sweep come from: how many, how many at a time, and each one by its place."""

    total: int
    batch: int
    space: Mapping[str, BaseDistribution]

    def point(self, place: int, earlier: Sequence[FrozenTrial]) -> Mapping[str, Any]:
        """The parameters at a place of the sweep."""
        ...

    def recipe(self, place: int, params: Mapping[str, Any]) -> Recipe:
        """The head that the parameters stand for."""
        ...


class Searched:
    """The points of a search."""

    def __init__(self, config: SweepConfig) -> None:
        self.total, self.batch = config.trials, config.population or POPULATION
        self.space: Mapping[str, BaseDistribution] = distributions(config.space)
        self._base, self._seed = config.recipe, config.seed
        self._first = sobol_points(self.space, self.batch, config.seed)

    def point(self, place: int, earlier: Sequence[FrozenTrial]) -> Mapping[str, Any]:
        """The next of the Sobol sequence, or what TPE makes of the earlier heads, those in training included."""
        if place < len(self._first):
            return self._first[place]
        startup, seed = self.batch, self._seed + place
        tpe = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)
        # A copy in memory: asking the shared study would write a proposal in pieces.
        study = optuna.create_study(sampler=tpe)
        study.add_trials(earlier)
        return study.ask(dict(self.space)).params

    def recipe(self, place: int, params: Mapping[str, Any]) -> Recipe:
        """The sweep's own recipe with the parameters."""
        return recipe_of(self._base, params)


class Listed:
    """The items of a list, in its order."""

    def __init__(self, items: Sequence[tuple[Mapping[str, Any], Recipe]], population: int | None) -> None:
        self.total, self.batch = len(items), population or len(items)
        names = dict.fromkeys(name for params, _ in items for name in params)
        # Optuna wants the same choices of a parameter in every trial.
        choices = {name: dict.fromkeys(params[name] for params, _ in items if name in params) for name in names}
        self.space: Mapping[str, BaseDistribution] = {
            name: CategoricalDistribution(tuple(values)) for name, values in choices.items()
        }
        self._items = items

    def point(self, place: int, earlier: Sequence[FrozenTrial]) -> Mapping[str, Any]:
        """The parameters of the item."""
        return self._items[place][0]

    def recipe(self, place: int, params: Mapping[str, Any]) -> Recipe:
        """The recipe of the item."""
        return self._items[place][1]


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Optuna's view of a search space."""
    return {name: _distribution(dimension) for name, dimension in space.dimensions().items()}


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.scale == "choice":
        return CategoricalDistribution(dimension.values)
    low, high = dimension.values
    kind = IntDistribution if isinstance(low, int) else FloatDistribution
    return kind(low, high, log=dimension.scale == "log")  # type: ignore[arg-type]


def sobol_points(space: Mapping[str, BaseDistribution], count: int, seed: int) -> list[dict[str, Any]]:
    """The first points of a scrambled Sobol sequence over a search space."""
    sequence = qmc.Sobol(len(space), rng=seed).random_base2((count - 1).bit_length())
    return [
        {name: _at(distribution, float(u)) for (name, distribution), u in zip(space.items(), row, strict=True)}
        for row in sequence[:count]
    ]


def _at(distribution: BaseDistribution, u: float) -> Any:
    """The value at a share `u` of the way through a distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(u * len(distribution.choices))]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    whole = isinstance(distribution, IntDistribution)
    margin = 0.5 if whole else 0.0  # so that the ends of a range of whole numbers get their full share
    low, high = distribution.low - margin, distribution.high + margin
    value = low * (high / low) ** u if distribution.log else low + (high - low) * u
    return min(max(round(value) if whole else value, distribution.low), distribution.high)
