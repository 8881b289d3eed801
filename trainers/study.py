"""The trials of a sweep, which several workers may share through a file or a database.

Every trial is written at once, with its parameters, its worker and its place in the sweep. Where two workers proposed
for the same place at the same moment, the lower number has it: all read the same order, so none is trained twice and
no more are trained than were asked for.
"""

import contextlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from trainers.fit import Fit
from trainers.storage import open_study, shown
from tunejury_jax.documents import as_json
from tunejury_jax.store import difference

__all__ = ["SharedStudy", "ended", "row_of"]

STUDY = "sweep"
IDENTITY, WORKER, PLACE = "identity", "worker", "item"
FACTS = ("valid_accuracy", "best_epoch", "epochs", "seconds", "error")
STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class SharedStudy:
    """The trials of one sweep in an Optuna storage."""

    def __init__(self, location: str | Path, worker: str, identity: Mapping[str, Any]) -> None:
        self._worker = worker
        self._study = open_study(location, STUDY)
        self._storage, self._id = self._study._storage, self._study._study_id
        self._claim(f"storage: {shown(location)}", as_json(identity))
        self._withdraw_lost()  # a kill may have come before

    def heads(self) -> dict[int, FrozenTrial]:
        """The trial at each place of the sweep that is taken, in the order of their numbers."""
        heads: dict[int, FrozenTrial] = {}
        for trial in self._trials():
            if _counts(trial):
                heads.setdefault(trial.user_attrs[PLACE], trial)
        return heads

    def own(self, trial: FrozenTrial) -> bool:
        """Whether this worker proposed a trial."""
        return trial.user_attrs.get(WORKER) == self._worker

    def propose(self, place: int, params: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> None:
        """Takes a place of the sweep, unless another worker has it by now."""
        trial = optuna.create_trial(
            state=TrialState.RUNNING,
            params=dict(params),
            distributions={name: space[name] for name in params},
            user_attrs={WORKER: self._worker, PLACE: place},
        )
        self._storage.create_new_trial(self._id, template_trial=trial)
        self._withdraw_lost()

    def _withdraw_lost(self) -> None:
        """Closes what was proposed for a place that another worker has: no dashboard shall show it in training."""
        heads = {trial.number for trial in self.heads().values()}
        for trial in self._trials():
            if self.own(trial) and not ended(trial) and trial.number not in heads:
                self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def record(self, number: int, fitted: Fit) -> None:
        """Records how a trial ended. One that was ended in a dashboard meanwhile stays so, and its place is free."""
        trial = self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
        with contextlib.suppress(UpdateFinishedTrialError):
            for name in FACTS:
                self._storage.set_trial_user_attr(trial, name, _json(getattr(fitted, name)))
            self._end(trial, fitted)

    def _end(self, trial: int, fitted: Fit) -> None:
        if fitted.state == "failed" or not math.isfinite(fitted.valid_loss):
            self._storage.set_trial_state_values(trial, TrialState.FAIL)
            return
        if fitted.state == "pruned":  # TPE ranks those by how far they came, and by their loss there
            self._storage.set_trial_intermediate_value(trial, fitted.epochs, fitted.valid_loss)
        state = TrialState.PRUNED if fitted.state == "pruned" else TrialState.COMPLETE
        self._storage.set_trial_state_values(trial, state, [fitted.valid_loss])

    def _trials(self) -> list[FrozenTrial]:
        trials = self._storage.get_all_trials(self._id, deepcopy=False)
        return sorted(trials, key=lambda trial: trial.number)

    def _claim(self, storage: str, ours: Any) -> None:
        """Marks a new study as this sweep's; refuses one that is another's."""
        if IDENTITY not in self._study.user_attrs and not self._trials():
            self._storage.set_study_user_attr(self._id, IDENTITY, ours)
        theirs = self._study.user_attrs.get(IDENTITY)
        if theirs is None:
            raise ValueError(f"{storage} holds a study {STUDY!r} that is none of this command; choose another")
        if lines := difference(ours, theirs):
            raise ValueError(f"{storage} holds another study; differs in {'; '.join(lines)}. Choose another")


def ended(trial: FrozenTrial) -> bool:
    """Whether a trial is no longer in training."""
    return trial.state != TrialState.RUNNING


def row_of(trial: FrozenTrial, names: Iterable[str]) -> dict[str, Any]:
    """An ended trial as a line of `trials.jsonl`, its parameters in the order of `names`."""
    failed = trial.state == TrialState.FAIL
    return {
        "trial": trial.number,
        "state": STATES[trial.state],
        "params": {name: trial.params[name] for name in names if name in trial.params},
        "valid_loss": None if failed else trial.value,
        "valid_accuracy": None if failed else trial.user_attrs["valid_accuracy"],
        **{name: trial.user_attrs[name] for name in FACTS[1:]},
    }


def _counts(trial: FrozenTrial) -> bool:
    """Whether a trial has a claim to its place: those withdrawn, or ended in a dashboard, have no facts to tell."""
    return WORKER in trial.user_attrs and (not ended(trial) or FACTS[-1] in trial.user_attrs)


def _json(value: Any) -> Any:
    """The value as strict JSON has it: dashboards read these, and NaN is no number there."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
