"""Saves: a run that was cut off goes on to the same weights, bit for bit, and never from another run's state."""

import itertools
from dataclasses import replace

import jax
import numpy as np
import pytest
from toy_dataset import toy_dataset

from trainers.executors import Sequential, Stacked
from trainers.fit import fit
from trainers.recipe import DataConfig, Recipe, TrainConfig
from trainers.saves import Saves

DATA = toy_dataset(tail=12)
TRAIN = TrainConfig(learning_rate=2e-2, dropout=0.3, widths=(6,), batch_size=16, max_epochs=6, patience=9)
RECIPES = {
    4: Recipe(TRAIN),
    7: Recipe(replace(TRAIN, seed=1, max_epochs=3)),
    9: Recipe(replace(TRAIN, seed=2), DataConfig(blocks=("toy",), leave_out=("Tail",))),
    11: Recipe(replace(TRAIN, seed=3, widths=(5, 4))),
}


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def eager(request, monkeypatch):
    """Saves as often as asked, however long a save takes."""
    if "fortieth" not in request.node.name:
        monkeypatch.setattr("trainers.saves.DUTY", 0)


def bits(fitted):
    leaves = [leaf.tobytes() for leaf in jax.tree.leaves(fitted.variables)]
    return (leaves, fitted.valid_loss, fitted.valid_score, fitted.best_epoch, fitted.epochs, fitted.state)


def run(folder, recipes=RECIPES, stop=None, every_s=0.0, executor=Sequential, **options):
    """Fits until `stop` epochs have been seen; returns what ended, and the epochs."""
    ended, rows, left = {}, [], itertools.count(1)

    def on_epoch(row):
        rows.append(row)
        if next(left) == stop:
            raise KilledError

    with Saves(folder, every_s) as saves:
        try:
            for number, fitted in fit(recipes, DATA, on_epoch, saves=saves, executor=executor, **options):
                ended[number] = bits(fitted)
        except KilledError:
            pass
    return ended, rows


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run(tmp_path_factory.mktemp("undisturbed") / "state", every_s=1e9)


def unfinished(ended, recipes=RECIPES):
    return {number: recipe for number, recipe in recipes.items() if number not in ended}


@pytest.mark.parametrize("stop", [1, 4, 7, 8, 12, 15, 19])
def test_a_run_that_is_cut_off_anywhere_ends_as_if_nothing_had_been(tmp_path, undisturbed, stop):
    first, _ = run(tmp_path / "state", stop=stop)
    rest, rows = run(tmp_path / "state", unfinished(first))
    assert first | rest == undisturbed[0]
    of_rest = [row for row in undisturbed[1] if row.head in rest]
    assert sorted(rows) == sorted(of_rest)  # restored epochs are told again


def test_what_is_continued_is_not_trained_anew(tmp_path, monkeypatch):
    run(tmp_path / "state", stop=10)
    epochs = []
    monkeypatch.setattr(Sequential, "run", lambda self, run=Sequential.run: epochs.append(1) or run(self))
    run(tmp_path / "state", {4: RECIPES[4], 9: RECIPES[9]})
    assert len(epochs) == 3  # of six


def test_a_run_may_be_cut_off_again_and_again(tmp_path, undisturbed):
    ended, kills = {}, 0
    while unfinished(ended):
        # Each time a few epochs more than are restored.
        more, _ = run(tmp_path / "state", unfinished(ended), stop=5 + 3 * kills)
        ended, kills = ended | more, kills + 1
    assert kills > 3
    assert ended == undisturbed[0]


@pytest.mark.parametrize("executor", [Sequential, Stacked])
@pytest.mark.parametrize("stop", range(5, 20, 4))
def test_rungs_decide_alike_in_a_continued_run(tmp_path, executor, stop):
    recipes = {n: Recipe(replace(TRAIN, seed=n, patience=2 + n % 2)) for n in range(4)}
    expected, _ = run(tmp_path / "undisturbed", recipes, every_s=1e9, executor=executor, halving=(2, 4))
    first, _ = run(tmp_path / "state", recipes, stop=stop, every_s=1e9, executor=executor, halving=(2, 4))
    rest, _ = run(tmp_path / "state", unfinished(first, recipes), executor=executor, halving=(2, 4))
    assert {n: end[1:] for n, end in (first | rest).items()} == {n: end[1:] for n, end in expected.items()}
    assert "pruned" in {end[-1] for end in expected.values()}


def test_who_was_pruned_but_not_recorded_is_ended_at_once(tmp_path):
    recipes = {n: Recipe(replace(TRAIN, seed=n)) for n in range(4)}
    expected, _ = run(tmp_path / "undisturbed", recipes, every_s=1e9, halving=(2,))
    with Saves(tmp_path / "state", 1e9) as saves:
        next(
            fit(recipes, DATA, saves=saves, executor=Sequential, halving=(2,))
        )  # the first that is pruned, then a kill
    again, rows = run(tmp_path / "state", recipes, halving=(2,))
    assert again == expected
    pruned = [n for n, end in expected.items() if end[-1] == "pruned"]
    assert [row.epoch for row in rows if row.head in pruned] == [1, 2] * 2


@pytest.mark.parametrize("change", [{"seed": 5}, {"learning_rate": 1e-2}, {"patience": 8}])
def test_the_state_of_another_recipe_is_not_taken_up(tmp_path, change):
    run(tmp_path / "state", {4: RECIPES[4]}, stop=4)
    other = {4: Recipe(replace(TRAIN, **change))}
    found, rows = run(tmp_path / "state", other)
    assert found == run(tmp_path / "fresh", other)[0]
    assert [row.epoch for row in rows] == [1, 2, 3, 4, 5, 6]


def test_saves_are_made_when_due_and_at_most_one_is_kept(tmp_path):
    recipe = {0: Recipe(TRAIN)}
    run(tmp_path / "often", recipe, stop=5)
    assert len([step for step in (tmp_path / "often").iterdir() if step.name.isdigit()]) == 1
    run(tmp_path / "never", recipe, stop=5, every_s=1e9)
    assert not [step for step in (tmp_path / "never").iterdir() if step.name.isdigit()]


def test_saving_takes_a_fortieth_of_the_time_at_most(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("trainers.saves.time.monotonic", lambda: now[0])
    with Saves(tmp_path, 10.0) as saves:
        now[0] += 9.5
        assert not saves.due
        now[0] += 1
        assert saves.due
        monkeypatch.setattr(saves._manager, "save", lambda *step, **items: now.__setitem__(0, now[0] + 2))
        saves.save({}, {})
        now[0] += 79
        assert not saves.due
        now[0] += 1.5
        assert saves.due


def test_a_cleared_save_is_gone(tmp_path, undisturbed):
    run(tmp_path / "state", stop=8)
    with Saves(tmp_path / "state", 0.0) as saves:
        saves.clear()
    again, _ = run(tmp_path / "state")
    assert again == undisturbed[0]


def test_a_save_that_was_cut_off_leaves_the_one_before(tmp_path, undisturbed):
    first, _ = run(tmp_path / "state", stop=8)
    (whole,) = (step for step in (tmp_path / "state").iterdir() if step.name.isdigit())
    half = tmp_path / "state" / f"{int(whole.name) + 1}.orbax-checkpoint-tmp-1"
    half.mkdir()
    (half / "members").mkdir()
    rest, _ = run(tmp_path / "state", unfinished(first))
    assert first | rest == undisturbed[0]
    assert np.isfinite(rest[4][1])
