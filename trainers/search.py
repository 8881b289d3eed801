"""The search of a sweep: which heads to train next.

Everything is kept in an Optuna study, so a killed sweep continues as if nothing had been: heads that it was training
are proposed again, and the rest follows from those that ended. Workers that share a study train its heads together.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.trial import FrozenTrial

from trainers.config import SweepConfig
from trainers.fit import Fit
from trainers.recipe import Recipe
from trainers.sampler import Listed, Sampler, Searched
from trainers.study import SharedStudy, ended, row_of

__all__ = ["Proposal", "Search"]


class Proposal(NamedTuple):
    """A head to train: its trial's number, what was chosen for it, and how it is trained."""

    number: int
    params: Mapping[str, Any]
    recipe: Recipe


class Search:
    """Proposes batches of heads and learns from their validation losses."""

    def __init__(
        self,
        config: SweepConfig,
        storage: str | Path,
        worker: str,
        identity: Mapping[str, Any],
        listed: Sequence[tuple[Mapping[str, Any], Recipe]] = (),
    ) -> None:
        """Opens or continues a study.

        Args:
            config: What to search.
            storage: A journal file, or the URL of a database that several workers share.
            worker: Name of this worker; after a kill, the same name takes up its heads again.
            identity: What was asked, as JSON; a study that was asked something else is refused.
            listed: Heads of a preset, each as shown and as trained; they are proposed in their order, without a search.

        Raises:
            ValueError: The storage cannot be opened, or holds another study.
        """
        optuna.logging.set_verbosity(logging.WARNING)
        self._sampler: Sampler = Listed(listed, config.population) if listed else Searched(config)
        self._study = SharedStudy(storage, worker, identity)

    @property
    def finished(self) -> set[int]:
        """Numbers of this worker's trials that ended, failed ones included."""
        return {trial.number for trial in self._study.heads().values() if self._study.own(trial) and ended(trial)}

    @property
    def elsewhere(self) -> int:
        """Heads that other workers have proposed and not ended."""
        return sum(not self._study.own(trial) for trial in self._running(self._study.heads()).values())

    def ask(self) -> list[Proposal]:
        """The next batch, or what is left of a batch that was cut off; empty once the sweep has all its trials."""
        while True:
            heads = self._study.heads()
            mine = sorted(place for place, trial in self._running(heads).items() if self._study.own(trial))
            due = self._due(heads)
            free = next((place for place in range(self._sampler.total) if place not in heads), None)
            if len(mine) >= due or free is None:
                return [self._proposal(place, heads[place]) for place in mine[:due]]
            self._propose(free, heads)

    def tell(self, number: int, fitted: Fit) -> None:
        """Records how a trial ended."""
        self._study.record(number, fitted)

    def rows(self) -> list[dict[str, Any]]:
        """The ended trials of all workers as the lines of `trials.jsonl`."""
        return [row_of(trial, self._sampler.space) for trial in self._study.heads().values() if ended(trial)]

    def _due(self, heads: Mapping[int, FrozenTrial]) -> int:
        """Heads of the present batch that have not ended."""
        done = sum(self._study.own(trial) and ended(trial) for trial in heads.values())
        return self._sampler.batch - done % self._sampler.batch

    def _propose(self, place: int, heads: Mapping[int, FrozenTrial]) -> None:
        params = self._sampler.point(place, list(heads.values()))
        self._study.propose(place, params, self._sampler.space)

    def _proposal(self, place: int, trial: FrozenTrial) -> Proposal:
        params = {name: trial.params[name] for name in self._sampler.space if name in trial.params}
        return Proposal(trial.number, params, self._sampler.recipe(place, params))

    def _running(self, heads: Mapping[int, FrozenTrial]) -> dict[int, FrozenTrial]:
        """Heads of this sweep in training; a sweep that was asked for fewer trials leaves the others as they are."""
        return {place: heads[place] for place in heads if place < self._sampler.total and not ended(heads[place])}
