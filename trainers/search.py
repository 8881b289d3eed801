"""The search of a sweep: which heads to train next.

The first batch is a scrambled Sobol sequence, which covers the space evenly; later batches come from TPE, told what
the earlier ones reached. Everything is kept in Optuna's journal, so a killed sweep continues as if nothing had been:
trials that it was training are proposed again, and the rest follows from those that ended.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState
from scipy.stats import qmc

from trainers.config import SweepConfig
from trainers.fit import Fit
from trainers.recipe import TrainConfig, parse_widths
from trainers.space import SearchSpace

__all__ = ["Search"]

STUDY = "sweep"


class Search:
    """Proposes batches of heads and learns from their validation losses."""

    def __init__(self, config: SweepConfig, journal: Path) -> None:
        optuna.logging.set_verbosity(logging.WARNING)
        self._config = config
        self._space = distributions(config.space)
        storage = JournalStorage(JournalFileBackend(str(journal)))
        self._study = optuna.create_study(storage=storage, study_name=STUDY, load_if_exists=True)
        self._first_batch = sobol_points(self._space, config.population, config.seed)
        self._abandon_half_proposed()

    @property
    def finished(self) -> set[int]:
        """Numbers of the trials that ran to their end, failed ones included."""
        return {row["trial"] for row in self.rows()}

    def ask(self) -> list[Trial]:
        """The next batch, or what is left of a batch that was cut off; empty once the sweep has all its trials."""
        done = len(self.finished)
        count = max(0, min(self._config.population - done % self._config.population, self._config.trials - done))
        proposed = self._proposed()[:count]
        return [*proposed, *(self._ask(done + position) for position in range(len(proposed), count))]

    def train_config(self, trial: Trial) -> TrainConfig:
        """The configuration that a trial proposes."""
        base = TrainConfig(
            max_epochs=self._config.max_epochs,
            patience=self._config.patience,
            batch_size=self._config.batch_size,
            seed=self._config.seed,
        )
        return replace(base, **{**trial.params, "widths": parse_widths(trial.params["widths"])})

    def tell(self, trial: Trial, fitted: Fit) -> None:
        """Records how a trial ended."""
        for name in ("valid_accuracy", "best_epoch", "epochs", "seconds", "error"):
            trial.set_user_attr(name, getattr(fitted, name))
        if fitted.error or not math.isfinite(fitted.valid_loss):
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, fitted.valid_loss)

    def rows(self) -> list[dict[str, Any]]:
        """The ended trials as the lines of `trials.jsonl`."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
        return [_row(trial) for trial in trials if trial.user_attrs]  # an abandoned one was told nothing

    def _ask(self, position: int) -> Trial:
        if position < len(self._first_batch):
            return self._propose(self._first_batch[position])
        # Seeded by its place in the sweep, so that a continued sweep goes on as an undisturbed one.
        seed = self._config.seed + position
        startup = self._config.population
        self._study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)
        return self._study.ask(self._space)

    def _propose(self, point: Mapping[str, Any]) -> Trial:
        trial = optuna.create_trial(state=TrialState.RUNNING, params=dict(point), distributions=self._space)
        self._study.add_trial(trial)
        return self._proposed()[-1]

    def _proposed(self) -> list[Trial]:
        """Trials that have not ended, in the order of their proposal."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [Trial(self._study, trial._trial_id) for trial in running]

    def _abandon_half_proposed(self) -> None:
        """Closes a trial whose proposal was killed between its parameters; its place is proposed anew."""
        for trial in self._proposed():
            if trial.params.keys() != self._space.keys():
                self._study.tell(trial, state=TrialState.FAIL)


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Optuna's view of a search space."""
    return {
        "learning_rate": FloatDistribution(*space.learning_rate, log=True),
        "weight_decay": FloatDistribution(*space.weight_decay, log=True),
        "dropout": FloatDistribution(*space.dropout),
        "label_smoothing": FloatDistribution(*space.label_smoothing),
        "widths": CategoricalDistribution(space.widths),
    }


def sobol_points(space: Mapping[str, BaseDistribution], count: int, seed: int) -> list[dict[str, Any]]:
    """The first points of a scrambled Sobol sequence over a search space."""
    sequence = qmc.Sobol(len(space), rng=seed).random_base2((count - 1).bit_length())
    return [
        {name: _at(distribution, u) for (name, distribution), u in zip(space.items(), row, strict=True)}
        for row in sequence[:count]
    ]


def _at(distribution: BaseDistribution, u: float) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(u * len(distribution.choices))]
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    value = low * (high / low) ** u if distribution.log else low + (high - low) * u
    return min(max(float(value), low), high)


def _row(trial: FrozenTrial) -> dict[str, Any]:
    complete = trial.state == TrialState.COMPLETE
    return {
        "trial": trial.number,
        "state": "complete" if complete else "failed",
        "params": dict(trial.params),
        "valid_loss": trial.value if complete else None,
        "valid_accuracy": trial.user_attrs["valid_accuracy"] if complete else None,
        **{name: trial.user_attrs[name] for name in ("best_epoch", "epochs", "seconds", "error")},
    }
