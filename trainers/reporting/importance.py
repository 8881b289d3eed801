"""Which hyper-parameters decide how good a head becomes: PED-ANOVA (Watanabe et al., IJCAI 2023) over the trials.

PED-ANOVA asks how differently each hyper-parameter is distributed among the better trials and among all. Optuna
brings it along; fANOVA would need scikit-learn for its forests, and takes 100 times as long. The shares always sum to
100 %, even where nothing matters, so two things stand beside each: how it varies when the trials are redrawn, and how
large it becomes when the losses are dealt out to the trials at random.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import optuna
from jaxtyping import Float, Int
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

from trainers.reporting.axis_ends import Values
from trainers.reporting.run_reader import Trial
from trainers.reporting.value_axes import category, logarithmic, numeric

__all__ = ["LEAST_TRIALS", "Importance", "importances"]

LEAST_TRIALS = 8
REDRAWS = 100
BETTER = 0.5
"""Share of the trials that PED-ANOVA compares with all. Where one of five hyper-parameters decides, it comes first in
20 of 20 sweeps of 32 trials, as with fANOVA; with Optuna's 0.1, which leaves 4 trials to compare, in 17."""

Rows = Int[np.ndarray, " trials"]
Shares = Float[np.ndarray, " names"]


class Importance(NamedTuple):
    """Share of a hyper-parameter in the importance of all, between 0 and 1.

    `low` to `high` hold 95 % of the shares over redrawn trials; `chance` is above 95 % of those over shuffled losses.
    """

    value: float
    low: float
    high: float
    chance: float


def importances(trials: Sequence[Trial], names: Sequence[str]) -> dict[str, Importance]:
    """The importance of hyper-parameters, the largest first.

    Args:
        trials: Ranked trials, at least `LEAST_TRIALS`.
        names: Hyper-parameters that varied; one that not every trial has is left out.

    Raises:
        ValueError: There are too few trials.
    """
    if len(trials) < LEAST_TRIALS:
        raise ValueError(f"trials: expected at least {LEAST_TRIALS} ranked ones, got {len(trials)}")
    columns = {name: [t.params[name] for t in trials] for name in names if all(name in t.params for t in trials)}
    if not columns:
        return {}
    losses, ask = np.array([t.valid_loss for t in trials], float), _Shares(columns)
    everyone, generator = np.arange(len(trials)), np.random.default_rng(0)  # the same trials give the same page
    redrawn = [generator.integers(0, len(trials), len(trials)) for _ in range(REDRAWS)]
    whole = ask.study(everyone)
    values = ask.shares(whole, losses)
    low, high = np.quantile([ask.shares(ask.study(rows), losses[rows]) for rows in redrawn], [0.025, 0.975], axis=0)
    chance = np.quantile([ask.shares(whole, generator.permutation(losses)) for _ in redrawn], 0.95, axis=0)
    found = zip(columns, np.stack([values, low, high, chance], axis=1).tolist(), strict=True)
    return dict(sorted(((name, Importance(*row)) for name, row in found), key=lambda item: -item[1].value))


class _Shares:
    """PED-ANOVA of any rows of a table of hyper-parameters."""

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        optuna.logging.set_verbosity(logging.WARNING)
        self._distributions = {name: _distribution(values) for name, values in columns.items()}
        rows = zip(*(_plain_values(values) for values in columns.values()), strict=True)
        self._params = [dict(zip(columns, row, strict=True)) for row in rows]

    def study(self, rows: Rows) -> optuna.Study:
        """A study of these rows, in this order; it knows no losses."""
        study = optuna.create_study()
        study.add_trials([self._trial(row) for row in rows.tolist()])
        return study

    def shares(self, study: optuna.Study, losses: Values) -> Shares:
        """The importance of each column where the trials of a study have these losses."""
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BETTER)
        with warnings.catch_warnings():
            # Optuna says that less is better, which is so; and where all losses are equal, that all shares are.
            warnings.simplefilter("ignore")
            shares = get_param_importances(study, evaluator=evaluator, target=lambda trial: float(losses[trial.number]))
        return np.array([shares[name] for name in self._distributions])

    def _trial(self, row: int) -> FrozenTrial:
        return optuna.create_trial(params=self._params[row], distributions=self._distributions, value=0.0)


def _plain_values(values: Sequence[Any]) -> list[Any]:
    return [float(value) for value in values] if numeric(values) else [category(value) for value in values]


def _distribution(values: Sequence[Any]) -> BaseDistribution:
    plain = _plain_values(values)
    if not numeric(values):
        return CategoricalDistribution(sorted(set(plain)))
    return FloatDistribution(min(plain), max(plain), log=logarithmic(np.array(plain)))
