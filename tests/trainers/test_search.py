"""The search: what it proposes, and that a kill at any moment changes nothing of it."""

import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from trainers.config import SweepConfig
from trainers.fit import Fit
from trainers.search import Search, distributions, sobol_points
from trainers.space import SearchSpace

SPACE = SearchSpace(widths=("8-4", "4", "16"))
CONFIG = SweepConfig(trials=6, population=2, max_epochs=7, patience=3, batch_size=16, seed=5, space=SPACE)


@pytest.fixture(autouse=True)
def without_fsync(monkeypatch):
    """The journal asks the disk to be done after every line; here processes are killed, not machines."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def fitted(search, trial, error=None):
    """A made-up fit whose loss follows from the parameters alone."""
    config = search.train_config(trial)
    loss = abs(math.log10(config.learning_rate) + 3) + config.dropout + 0.1 * len(config.widths)
    return Fit(config, {}, math.inf if error else loss, 0.75, 2, 5, 0.1, error)


def drive(config, journal, batches=None):
    """Searches to the end, or for some batches."""
    search = Search(config, journal)
    while (batches is None or batches > 0) and (trials := search.ask()):
        for trial in trials:
            search.tell(trial, fitted(search, trial))
        batches = None if batches is None else batches - 1
    return search


def outcome(search):
    return [(row["params"], row["valid_loss"], row["state"]) for row in search.rows()]


def proposals(config, journal):
    return [trial.params for trial in Search(config, journal).ask()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return outcome(drive(CONFIG, tmp_path_factory.mktemp("search") / "journal"))


class Killed(BaseException):
    """Stands for a kill: no handler of the code under test may see it."""


def killed_at(writes, config, journal, monkeypatch):
    """Searches until so many journal writes are done; returns whether the search came to its end before."""
    append, left = JournalFileBackend.append_logs, [writes]

    def append_or_die(self, logs):
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        append(self, logs)

    with monkeypatch.context() as patch:
        patch.setattr(JournalFileBackend, "append_logs", append_or_die)
        try:
            drive(config, journal)
        except Killed:
            return False
    return True


@pytest.mark.parametrize("first", range(4))
def test_a_search_killed_at_any_write_goes_on_as_if_nothing_had_been(undisturbed, tmp_path, monkeypatch, first):
    for writes in range(first, 1000, 4):
        done = killed_at(writes, CONFIG, tmp_path / f"{writes}", monkeypatch)
        assert outcome(drive(CONFIG, tmp_path / f"{writes}")) == undisturbed, f"killed after {writes} writes"
        if done:
            break
    assert writes > 60


def test_a_search_killed_again_and_again_comes_to_the_same_end(undisturbed, tmp_path, monkeypatch):
    moments, kills = np.random.default_rng(0), 0
    while not killed_at(int(moments.integers(5, 25)), CONFIG, tmp_path / "journal", monkeypatch):
        kills += 1
    assert kills > 4
    assert outcome(drive(CONFIG, tmp_path / "journal")) == undisturbed


def test_a_batch_that_was_being_trained_is_proposed_again(tmp_path):
    search = drive(CONFIG, tmp_path / "journal", batches=1)
    asked = [trial.params for trial in search.ask()]
    assert len(asked) == 2
    assert proposals(CONFIG, tmp_path / "journal") == asked == proposals(CONFIG, tmp_path / "journal")


def test_of_a_batch_that_was_half_recorded_the_other_half_is_proposed_again(tmp_path):
    search = Search(CONFIG, tmp_path / "journal")
    first, second = search.ask()
    search.tell(first, fitted(search, first))
    again = Search(CONFIG, tmp_path / "journal")
    assert [trial.params for trial in again.ask()] == [second.params]
    assert [row["params"] for row in again.rows()] == [first.params]


def test_finished_trials_are_each_listed_once_with_what_came_of_them(tmp_path):
    search = drive(CONFIG, tmp_path / "journal")
    rows = search.rows()
    assert len(rows) == len({row["trial"] for row in rows}) == 6
    assert search.finished == {row["trial"] for row in rows}
    assert search.ask() == []
    facts = {"valid_accuracy": 0.75, "best_epoch": 2, "epochs": 5, "seconds": 0.1, "error": None}
    for row in rows:
        assert row.items() >= facts.items()
        assert row["params"].keys() == distributions(SPACE).keys()


def test_a_head_that_failed_is_listed_without_a_loss_and_not_tried_again(tmp_path):
    search = Search(CONFIG, tmp_path / "journal")
    first, second = search.ask()
    search.tell(first, fitted(search, first, error="loss is not finite")._replace(valid_accuracy=math.nan))
    search.tell(second, fitted(search, second)._replace(valid_loss=math.nan))
    for reopened in (search, Search(CONFIG, tmp_path / "journal")):
        found = [(row["trial"], row["state"], row["valid_loss"], row["error"]) for row in reopened.rows()]
        assert found == [(0, "failed", None, "loss is not finite"), (1, "failed", None, None)]
        assert json.dumps(reopened.rows(), allow_nan=False)
        assert reopened.finished == {0, 1}
    drive(CONFIG, tmp_path / "journal")
    rows = Search(CONFIG, tmp_path / "journal").rows()
    assert [row["state"] for row in rows] == ["failed"] * 2 + ["complete"] * 4


def test_more_trials_go_on_where_fewer_ended(undisturbed, tmp_path):
    for trials in (2, 4, 6):
        search = drive(replace(CONFIG, trials=trials), tmp_path / "journal")
        assert outcome(search) == undisturbed[:trials]


def test_fewer_trials_than_there_are_ask_for_nothing(tmp_path):
    drive(CONFIG, tmp_path / "journal")
    assert Search(replace(CONFIG, trials=3), tmp_path / "journal").ask() == []


@pytest.mark.parametrize(("trials", "population", "batches"), [(5, 2, [2, 2, 1]), (3, 8, [3]), (4, 4, [4])])
def test_batches_are_of_the_population_and_the_last_of_what_is_left(tmp_path, trials, population, batches):
    search = Search(replace(CONFIG, trials=trials, population=population), tmp_path / "journal")
    sizes = []
    while asked := search.ask():
        sizes.append(len(asked))
        for trial in asked:
            search.tell(trial, fitted(search, trial))
    assert sizes == batches


def test_the_same_seed_proposes_the_same_and_another_seed_other_heads(undisturbed, tmp_path):
    assert outcome(drive(CONFIG, tmp_path / "again")) == undisturbed
    other = outcome(drive(replace(CONFIG, seed=6), tmp_path / "other"))
    assert not any(params in [p for p, *_ in undisturbed] for params, *_ in other)


def test_the_first_batch_is_sobols(undisturbed):
    assert [params for params, *_ in undisturbed[:2]] == sobol_points(distributions(SPACE), 2, seed=5)


def test_later_batches_learn_from_what_came_of_the_earlier(tmp_path):
    proposed = []
    for best in range(4):
        search = Search(replace(CONFIG, population=4), tmp_path / f"{best}")
        for number, trial in enumerate(search.ask()):
            search.tell(trial, fitted(search, trial)._replace(valid_loss=float(abs(number - best))))
        proposed.append([trial.params for trial in search.ask()])
    assert all(a != b for n, a in enumerate(proposed) for b in proposed[:n])


def test_heads_of_a_batch_differ_even_where_nothing_was_learned(tmp_path):
    search = Search(replace(CONFIG, population=3), tmp_path / "journal")
    for trial in search.ask():
        search.tell(trial, fitted(search, trial, error="loss is not finite"))
    proposed = [tuple(trial.params.values()) for trial in search.ask()]
    assert len(set(proposed)) == 3


def test_a_proposal_is_a_recipe_of_this_sweep(tmp_path):
    search = Search(CONFIG, tmp_path / "journal")
    for trial in search.ask():
        recipe = search.train_config(trial)
        assert (recipe.max_epochs, recipe.patience, recipe.batch_size, recipe.seed) == (7, 3, 16, 5)
        assert "-".join(map(str, recipe.widths)) == trial.params["widths"]
        for name in ("learning_rate", "weight_decay", "dropout", "label_smoothing"):
            assert getattr(recipe, name) == trial.params[name]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 33])
def test_sobol_points_lie_in_the_space_and_follow_from_the_seed(count):
    space = distributions(SPACE)
    points = sobol_points(space, count, seed=3)
    assert len(points) == count
    assert points == sobol_points(space, count, seed=3)
    assert points[0] != sobol_points(space, count, seed=4)[0]
    for point in points:
        assert point.keys() == space.keys()
        for name, distribution in space.items():
            assert distribution._contains(distribution.to_internal_repr(point[name])), (name, point[name])


def test_sobol_points_cover_the_space_evenly_on_each_scale():
    points = sobol_points(distributions(SPACE), 64, seed=0)
    for name, (low, high), log in (("learning_rate", SPACE.learning_rate, True), ("dropout", SPACE.dropout, False)):
        values = np.array([point[name] for point in points])
        u = np.log(values / low) / np.log(high / low) if log else (values - low) / (high - low)
        assert np.histogram(u, 16, (0, 1))[0].tolist() == [4] * 16
    counts = [sum(point["widths"] == choice for point in points) for choice in SPACE.widths]
    assert min(counts) >= 20


def test_a_space_may_be_a_point(tmp_path):
    point = SearchSpace((1e-3, 1e-3), (1e-2, 1e-2), (0.0, 0.0), (0.1, 0.1), ("4",))
    search = drive(replace(CONFIG, space=point, trials=4), tmp_path / "journal")
    assert {tuple(row["params"].values()) for row in search.rows()} == {(1e-3, 1e-2, 0.0, 0.1, "4")}
    assert {trial.state for trial in search._study.get_trials()} == {TrialState.COMPLETE}
