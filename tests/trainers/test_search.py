"""The search: what it proposes, and that a kill at any moment changes nothing of it."""

import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from trainers.config import SweepConfig
from trainers.fit import Fit
from trainers.recipe import DataConfig, Recipe, TrainConfig
from trainers.sampler import distributions, sobol_points
from trainers.search import Search
from trainers.space import SearchSpace

SPACE = SearchSpace(widths=("8-4", "4", "16"))
CONFIG = SweepConfig(trials=6, population=2, max_epochs=7, patience=3, batch_size=16, seed=5, space=SPACE)


@pytest.fixture(autouse=True)
def without_fsync(monkeypatch):
    """The journal asks the disk to be done after every line; here processes are killed, not machines."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def made_up(recipe):
    """A fit whose loss follows from the recipe alone."""
    train = recipe.train
    loss = abs(math.log10(train.learning_rate) + 3) + train.dropout + 0.1 * len(train.widths)
    measured = {"valid_loss": loss, "valid_accuracy": 0.75, "valid_score": 0.0}
    return Fit(recipe, "complete", {}, **measured, best_epoch=2, epochs=5, seconds=0.1, error=None)


def failed(recipe):
    return made_up(recipe)._replace(state="failed", valid_loss=math.inf, error="loss is not finite")


def opened(config, journal, **settings):
    return Search(config, journal, **{"worker": "this", "identity": {"asked": 1}, **settings})


def tell(search, proposals, fit=made_up):
    for proposal in proposals:
        search.tell(proposal.number, fit(proposal.recipe))


def drive(config, journal, batches=None, **settings):
    """Searches to the end, or for some batches."""
    search = opened(config, journal, **settings)
    while (batches is None or batches > 0) and (proposals := search.ask()):
        tell(search, proposals)
        batches = None if batches is None else batches - 1
    return search


def outcome(search):
    return [(row["params"], row["valid_loss"], row["state"]) for row in search.rows()]


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
    assert writes > 40


def test_a_search_killed_again_and_again_comes_to_the_same_end(undisturbed, tmp_path, monkeypatch):
    moments, kills = np.random.default_rng(0), 0
    while not killed_at(int(moments.integers(5, 12)), CONFIG, tmp_path / "journal", monkeypatch):
        kills += 1
    assert kills > 4
    assert outcome(drive(CONFIG, tmp_path / "journal")) == undisturbed


def test_a_batch_that_was_being_trained_is_proposed_again(tmp_path):
    search = drive(CONFIG, tmp_path / "journal", batches=1)
    asked = search.ask()
    assert len(asked) == 2
    assert search.ask() == opened(CONFIG, tmp_path / "journal").ask() == asked


def test_of_a_batch_that_was_half_recorded_the_other_half_is_proposed_again(tmp_path):
    search = opened(CONFIG, tmp_path / "journal")
    first, second = search.ask()
    tell(search, [first])
    again = opened(CONFIG, tmp_path / "journal")
    assert again.ask() == [second]
    assert [row["params"] for row in again.rows()] == [first.params]


def test_finished_trials_are_each_listed_once_with_what_came_of_them(tmp_path):
    search = drive(CONFIG, tmp_path / "journal")
    rows = search.rows()
    assert [row["trial"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert search.finished == {0, 1, 2, 3, 4, 5}
    assert search.ask() == []
    facts = {"valid_accuracy": 0.75, "best_epoch": 2, "epochs": 5, "seconds": 0.1, "error": None}
    for row in rows:
        assert row.items() >= facts.items()
        assert list(row["params"]) == list(distributions(SPACE))


def test_a_head_that_failed_is_listed_without_a_loss_and_not_tried_again(tmp_path):
    search = opened(CONFIG, tmp_path / "journal")
    first, second = search.ask()
    tell(search, [first], lambda recipe: failed(recipe)._replace(valid_accuracy=math.nan))
    tell(search, [second], lambda recipe: made_up(recipe)._replace(valid_loss=math.nan))
    for reopened in (search, opened(CONFIG, tmp_path / "journal")):
        found = [(row["trial"], row["state"], row["valid_loss"], row["valid_accuracy"]) for row in reopened.rows()]
        assert found == [(0, "failed", None, None), (1, "failed", None, None)]
        assert [row["error"] for row in reopened.rows()] == ["loss is not finite", None]
        assert json.dumps(reopened.rows(), allow_nan=False)
        assert reopened.finished == {0, 1}
    drive(CONFIG, tmp_path / "journal")
    rows = opened(CONFIG, tmp_path / "journal").rows()
    assert [row["state"] for row in rows] == ["failed"] * 2 + ["complete"] * 4


def pruned(recipe):
    return made_up(recipe)._replace(state="pruned", epochs=3)


def test_a_head_that_was_stopped_early_is_listed_with_its_loss_and_not_tried_again(tmp_path):
    search = opened(CONFIG, tmp_path / "journal")
    asked = search.ask()
    tell(search, asked, pruned)
    assert outcome(search) == [(head.params, made_up(head.recipe).valid_loss, "pruned") for head in asked]
    assert [(row["epochs"], row["valid_accuracy"]) for row in search.rows()] == [(3, 0.75)] * 2
    assert len(drive(CONFIG, tmp_path / "journal").rows()) == 6


def test_a_head_that_was_stopped_early_is_for_optuna_as_good_as_it_was_there(tmp_path):
    search = opened(CONFIG, tmp_path / "journal")
    asked = search.ask()
    tell(search, asked, pruned)
    losses = [made_up(head.recipe).valid_loss for head in asked]
    trials = search._study._study.get_trials()
    assert [trial.state for trial in trials] == [TrialState.PRUNED] * 2
    assert [trial.intermediate_values for trial in trials] == [{3: loss} for loss in losses]


def test_more_trials_go_on_where_fewer_ended(undisturbed, tmp_path):
    for trials in (2, 4, 6):
        search = drive(replace(CONFIG, trials=trials), tmp_path / "journal")
        assert outcome(search) == undisturbed[:trials]


def test_fewer_trials_than_there_are_ask_for_nothing(undisturbed, tmp_path):
    drive(CONFIG, tmp_path / "journal", batches=2)
    opened(CONFIG, tmp_path / "journal").ask()
    assert opened(replace(CONFIG, trials=3), tmp_path / "journal").ask() == []
    assert outcome(drive(CONFIG, tmp_path / "journal")) == undisturbed


@pytest.mark.parametrize(
    ("trials", "population", "batches"),
    [(5, 2, [2, 2, 1]), (3, 8, [3]), (4, 4, [4]), (10, None, [8, 2])],
)
def test_batches_are_of_the_population_and_the_last_of_what_is_left(tmp_path, trials, population, batches):
    search = opened(replace(CONFIG, trials=trials, population=population), tmp_path / "journal")
    sizes = []
    while asked := search.ask():
        sizes.append(len(asked))
        tell(search, asked)
    assert sizes == batches


def test_the_same_seed_proposes_the_same_and_another_seed_other_heads(undisturbed, tmp_path):
    assert outcome(drive(CONFIG, tmp_path / "again")) == undisturbed
    other = outcome(drive(replace(CONFIG, seed=6), tmp_path / "other"))
    assert not any(params in [p for p, *_ in undisturbed] for params, *_ in other)


def test_the_first_batch_is_sobols(undisturbed):
    assert [params for params, *_ in undisturbed[:2]] == sobol_points(distributions(SPACE), 2, seed=5)


@pytest.mark.parametrize("state", ["complete", "pruned"])
def test_later_batches_learn_from_what_came_of_the_earlier(tmp_path, state):
    proposed = []
    for best in range(4):
        search = opened(replace(CONFIG, population=4), tmp_path / f"{best}")
        for number, head in enumerate(search.ask()):
            loss = float(abs(number - best))
            search.tell(head.number, made_up(head.recipe)._replace(state=state, valid_loss=loss))
        proposed.append([head.params for head in search.ask()])
    assert all(a != b for n, a in enumerate(proposed) for b in proposed[:n])


def test_heads_of_a_batch_differ_even_where_nothing_was_learned(tmp_path):
    search = opened(replace(CONFIG, population=3), tmp_path / "journal")
    tell(search, search.ask(), failed)
    assert len({tuple(head.params.values()) for head in search.ask()}) == 3


def test_a_proposal_is_a_recipe_of_this_sweep(tmp_path):
    data = DataConfig(blocks=("mert",), clean_valid=True)
    for head in opened(replace(CONFIG, data=data), tmp_path / "journal").ask():
        train = head.recipe.train
        assert head.recipe.data == data
        assert (train.max_epochs, train.patience, train.batch_size, train.seed) == (7, 3, 16, 5)
        assert "-".join(map(str, train.widths)) == head.params["widths"]
        for name in ("learning_rate", "weight_decay", "dropout", "label_smoothing"):
            assert getattr(train, name) == head.params[name]


def test_what_is_searched_takes_the_place_of_the_sweeps_own(tmp_path):
    space = SearchSpace((), (), (), (), ("4", "8"), (), ("mert", "a+b"), ("linear", "5", "9"), ("0.1",), ("1", "2"))
    for head in opened(replace(CONFIG, space=space, trials=8, population=4), tmp_path / "journal").ask():
        assert head.params.keys() == {"batch_size", "blocks", "patience", "min_delta", "seed"}
        train, blocks = head.recipe.train, head.recipe.data.blocks
        assert blocks in (("mert",), ("a", "b"))
        assert (train.batch_size in (4, 8), train.patience in range(5, 10), train.seed in (1, 2)) == (True,) * 3
        assert (train.min_delta, train.max_epochs, train.learning_rate) == (0.1, 7, TrainConfig().learning_rate)
        assert {type(train.batch_size), type(train.patience), type(train.seed)} == {int}


LISTED = [
    ({"head": name, "seed": seed}, Recipe(TrainConfig(seed=seed, dropout=0.1 * seed), DataConfig(blocks=(name,))))
    for name in ("a", "b")
    for seed in (1, 2, 3)
]


def test_the_heads_of_a_list_are_proposed_in_its_order_all_at_once(tmp_path):
    search = opened(replace(CONFIG, population=None, trials=1), tmp_path / "journal", listed=LISTED)
    assert [(dict(params), recipe) for _, params, recipe in search.ask()] == LISTED
    tell(search, search.ask())
    assert search.ask() == []
    assert [row["params"] for row in search.rows()] == [params for params, _ in LISTED]


def test_a_list_may_be_trained_in_batches_and_continued(tmp_path):
    config = replace(CONFIG, population=4)
    search = opened(config, tmp_path / "journal", listed=LISTED)
    asked = search.ask()
    tell(search, asked[:3])
    search = opened(config, tmp_path / "journal", listed=LISTED)
    assert search.ask() == asked[3:]
    tell(search, asked[3:])
    assert [(dict(params), recipe) for _, params, recipe in search.ask()] == LISTED[4:]


def test_heads_of_a_list_may_be_told_by_different_names(tmp_path):
    listed = [({"leave_out": "a"}, Recipe()), ({"seed": 3}, Recipe()), ({}, Recipe())]
    search = drive(CONFIG, tmp_path / "journal", listed=listed)
    assert [row["params"] for row in search.rows()] == [params for params, _ in listed]


EVERY_KIND = SearchSpace(
    widths=("8-4", "4", "16"),
    dropout=("choice", "0.1", "0.2"),
    batch_size=("log", "2", "64"),
    patience=("linear", "1", "5"),
    seed=("3", "1", "2"),
    min_delta=("0",),
)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 33])
def test_sobol_points_lie_in_the_space_and_follow_from_the_seed(count):
    space = distributions(EVERY_KIND)
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
    for name, log in (("learning_rate", True), ("dropout", False)):
        low, high = SPACE.dimensions()[name].values
        values = np.array([point[name] for point in points])
        u = np.log(values / low) / np.log(high / low) if log else (values - low) / (high - low)
        assert np.histogram(u, 16, (0, 1))[0].tolist() == [4] * 16
    counts = [sum(point["widths"] == choice for point in points) for choice in ("8-4", "4", "16")]
    assert min(counts) >= 20


def test_sobol_points_give_each_whole_number_its_share():
    points = sobol_points(distributions(EVERY_KIND), 1024, seed=0)
    patience = np.bincount([point["patience"] for point in points])
    assert patience[0] == 0
    assert (abs(patience[1:] - 1024 / 5) <= 2).all()
    doublings = [sum(low <= point["batch_size"] < 2 * low for point in points) for low in (4, 8, 16)]
    assert (abs(np.array(doublings) - 1024 / np.log2(64.5 / 1.5)) < 30).all()
    assert {2, 64} <= {point["batch_size"] for point in points}


def test_optuna_sees_a_dimension_as_what_it_is():
    space = distributions(EVERY_KIND)
    assert space["learning_rate"] == FloatDistribution(1e-4, 1e-2, log=True)
    assert space["label_smoothing"] == FloatDistribution(0.0, 0.1)
    assert space["batch_size"] == IntDistribution(2, 64, log=True)
    assert space["patience"] == IntDistribution(1, 5)
    assert space["dropout"] == CategoricalDistribution((0.1, 0.2))
    assert space["min_delta"] == CategoricalDistribution((0.0,))


def test_a_space_may_be_a_point(tmp_path):
    point = SearchSpace(("1e-3", "1e-3"), ("0",), ("linear", "0", "0"), ("0.1",), widths=("4",))
    search = drive(replace(CONFIG, space=point, trials=4), tmp_path / "journal")
    assert [tuple(row["params"].values()) for row in search.rows()] == [(1e-3, 0.0, 0.0, 0.1, "4")] * 4
