"""Fitting: who is trained with whom, when each stops, what comes out, and what happens to a head that explodes."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import assert_close
from toy_dataset import toy_dataset

from trainers import executors, memory
from trainers import fit as fit_module
from trainers.executors import Sequential, Stacked
from trainers.fit import fit
from trainers.population import scores
from trainers.recipe import DataConfig, Recipe, TrainConfig
from trainers.view import view_whole
from tunejury_jax import metrics
from tunejury_jax.head import Head, split_input
from tunejury_jax.head_config import HeadConfig

DATA = toy_dataset()
RECIPE = TrainConfig(learning_rate=2e-2, dropout=0.1, widths=(6,), batch_size=16, max_epochs=6, patience=3)


def bits(fits):
    return [[leaf.tobytes() for leaf in jax.tree.leaves(fitted.variables)] for fitted in fits]


def fit_all(configs, dataset=DATA, on_epoch=lambda row: None, **options):
    """Fits in the order of the configurations, which all see all of the data."""
    recipes = {number: Recipe(config) for number, config in enumerate(configs)}
    fits = dict(fit(recipes, dataset, on_epoch, **options))
    return [fits[number] for number in recipes]


def rows_of(configs, dataset=DATA, **options):
    rows = []
    return fit_all(configs, dataset, rows.append, **options), rows


def test_a_preference_that_can_be_learned_is_learned():
    recipe = replace(RECIPE, dropout=0.0, max_epochs=80, patience=80)
    (fitted,) = fit_all([recipe])
    assert fitted.valid_accuracy > 0.9
    assert fitted.valid_loss < 0.3
    assert fitted.error is None


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    first, again, other = fit_all([RECIPE, RECIPE, replace(RECIPE, seed=1)])
    assert bits([first]) == bits([again]) == bits(fit_all([RECIPE]))
    assert first.valid_loss == again.valid_loss != other.valid_loss
    assert bits([first]) != bits([other])


def test_what_comes_out_is_the_best_epoch():
    (fitted,), rows = rows_of([replace(RECIPE, learning_rate=0.3, max_epochs=12, patience=12, min_delta=0.0, seed=2)])
    best = min(rows, key=lambda row: row.valid_loss)
    assert 1 < best.epoch < 12
    assert best.valid_accuracy not in (rows[0].valid_accuracy, rows[-1].valid_accuracy)
    assert (fitted.best_epoch, fitted.valid_loss) == (best.epoch, best.valid_loss)
    assert (fitted.valid_accuracy, fitted.epochs) == (best.valid_accuracy, 12)
    valid = jnp.asarray(DATA.pairs("valid"))
    variables = split_input(fitted.variables, [8, 4])
    found = np.asarray(scores(Head((6,)), variables, DATA.arrays, valid, view_whole(DATA, ())))
    assert_close(np.float32(fitted.valid_score), found.mean())
    found = found[:, 0] - found[:, 1]
    target = np.asarray(DATA.arrays.target)[DATA.pairs("valid")]
    assert_close(np.float32(fitted.valid_loss), metrics.log_loss(found, target))
    assert_close(np.float32(fitted.valid_accuracy), metrics.accuracy(found, target).value)


def test_a_head_stops_when_its_patience_is_out():
    (fitted,), rows = rows_of([replace(RECIPE, learning_rate=0.3, max_epochs=60, patience=3, min_delta=0.0)])
    assert fitted.epochs == len(rows) == fitted.best_epoch + 3 < 60


@pytest.mark.parametrize("max_epochs", [1, 4])
def test_a_head_gets_no_more_epochs_than_it_was_given(max_epochs):
    (fitted,), rows = rows_of([replace(RECIPE, max_epochs=max_epochs, patience=99)])
    assert fitted.epochs == max_epochs
    assert [row.epoch for row in rows] == list(range(1, max_epochs + 1))


def test_a_smallest_decrease_that_nothing_reaches_keeps_the_first_epoch():
    (fitted,), _ = rows_of([replace(RECIPE, min_delta=9.0)])
    assert (fitted.best_epoch, fitted.epochs) == (1, 4)


def test_rows_tell_the_head_by_its_place_and_fits_keep_the_order():
    configs = [replace(RECIPE, max_epochs=n, patience=9, batch_size=b) for n, b in ((1, 16), (2, 20), (3, 16))]
    fits, rows = rows_of(configs)
    assert [fitted.recipe.train for fitted in fits] == configs
    assert [fitted.epochs for fitted in fits] == [1, 2, 3]
    assert sorted((row.head, row.epoch) for row in rows) == [(0, 1), (1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]
    assert bits(fits[2:]) == bits(fit_all(configs[2:]))
    assert all(fitted.seconds > 0 for fitted in fits)


def test_heads_of_one_shape_are_one_population():
    made = []

    def executor(members, hypers, program):
        made.append((len(members), program.widths, program.batch_size))
        return Sequential(members, hypers, program)

    shapes = [((6,), 16), ((4,), 16), ((6,), 16), ((6,), 20)]
    fit_all([replace(RECIPE, widths=w, batch_size=b, max_epochs=1) for w, b in shapes], DATA, executor=executor)
    assert made == [(2, (6,), 16), (1, (4,), 16), (1, (6,), 20)]


@pytest.mark.parametrize("executor", [Sequential, Stacked])
def test_a_head_that_explodes_is_marked_and_the_others_go_on(executor):
    wild = replace(RECIPE, learning_rate=1e30)
    fits, rows = rows_of([RECIPE, wild, replace(RECIPE, seed=1), replace(RECIPE, seed=2)], executor=executor)
    assert [fitted.error is None for fitted in fits] == [True, False, True, True]
    assert fits[1].error == f"loss is not finite in epoch {fits[1].epochs}: {wild}"
    assert sum(row.head == 1 for row in rows) == fits[1].epochs < 6
    assert fits[0].epochs == fits[2].epochs == 6
    assert all(math.isfinite(fits[i].valid_loss) for i in (0, 2))
    if executor is Sequential:
        assert bits([fits[0], fits[2]]) == bits(fit_all([RECIPE, replace(RECIPE, seed=1)]))


def test_a_head_that_explodes_at_once_has_no_best_epoch():
    (fitted,) = fit_all([replace(RECIPE, learning_rate=1e38, weight_decay=1e30)])
    assert (fitted.best_epoch, fitted.epochs) == (0, 1)
    assert (fitted.valid_loss, math.isnan(fitted.valid_accuracy)) == (math.inf, True)
    assert fitted.error is not None


@pytest.mark.parametrize("train", [2, 3])
def test_two_pairs_are_enough_and_a_third_alone_is_left_out(train):
    (fitted,) = fit_all([replace(RECIPE, batch_size=2, max_epochs=2)], toy_dataset(train=train, valid=1))
    assert fitted.error is None
    assert fitted.epochs == 2


def test_one_pair_is_too_few():
    with pytest.raises(ValueError, match=r"split: 'train' has too few usable pairs \(1\), BatchNorm needs at least 2"):
        fit_all([RECIPE], toy_dataset(train=1))


@pytest.mark.parametrize(("train", "valid", "missing"), [(0, 5, "train"), (5, 0, "valid")])
def test_no_pair_is_refused_by_split(train, valid, missing):
    with pytest.raises(ValueError, match=f"split: '{missing}' has no usable pairs; the store has "):
        fit_all([RECIPE], toy_dataset(train=train, valid=valid))


def test_nothing_to_fit_fits_nothing():
    assert list(fit({}, DATA)) == []


def test_the_backend_chooses_the_executor(monkeypatch):
    made = []
    monkeypatch.setattr(executors, "Sequential", lambda *data: made.append(data) or Sequential(*data))
    fit_all([replace(RECIPE, max_epochs=1)])
    assert len(made) == 1


RUNG_SEEDS = range(5)


def rungs(executor, **options):
    recipes = [replace(RECIPE, seed=seed, max_epochs=6, patience=9) for seed in RUNG_SEEDS]
    return rows_of(recipes, executor=executor, **options)


@pytest.mark.parametrize("executor", [Sequential, Stacked])
def test_halving_stops_the_worse_half_at_each_rung_and_changes_nothing_of_the_others(executor):
    whole, rows = rungs(executor)
    fits, halved = rungs(executor, halving=(2, 4))
    alive, ends = set(RUNG_SEEDS), {}
    for rung in (2, 4):
        lowest = {n: min(r.valid_loss for r in rows if r.head == n and r.epoch <= rung) for n in alive}
        worse = sorted(alive, key=lowest.get)[math.ceil(len(alive) / 2) :]
        ends |= dict.fromkeys(worse, rung)
        alive -= set(worse)
    assert [fitted.epochs for fitted in fits] == [ends.get(n, 6) for n in RUNG_SEEDS]
    assert [fitted.state for fitted in fits] == ["pruned" if n in ends else "complete" for n in RUNG_SEEDS]
    assert sorted(fitted.epochs for fitted in fits) == [2, 2, 4, 6, 6]
    if executor is Sequential:
        by_epoch = {(row.head, row.epoch): row for row in rows}
        assert all(by_epoch[row.head, row.epoch] == row for row in halved)
        assert bits([fits[n] for n in alive]) == bits([whole[n] for n in alive])
    assert all(math.isfinite(fitted.valid_loss) and fitted.error is None for fitted in fits)


def test_a_fit_is_yielded_as_soon_as_its_head_ends():
    seen = []
    recipes = {7: Recipe(replace(RECIPE, max_epochs=4)), 3: Recipe(replace(RECIPE, max_epochs=2))}
    for number, fitted in fit(recipes, DATA, lambda row: seen.append((row.head, row.epoch))):
        seen.append((number, fitted.state))
    assert seen == [(7, 1), (3, 1), (7, 2), (3, 2), (3, "complete"), (7, 3), (7, 4), (7, "complete")]


def test_a_head_of_some_blocks_has_only_their_weights():
    (_, fitted), *_ = fit({0: Recipe(RECIPE, DataConfig(blocks=("words",)))}, DATA)
    assert fitted.variables["params"]["linear_0"]["weight"].shape == (6, 4)
    assert fitted.valid_accuracy == 0.5
    assert_close(np.float32(fitted.valid_loss), np.float32(math.log(2)))


def test_more_heads_than_fit_are_refused_before_any_is_made(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 3 * memory.member_bytes(HeadConfig(12, (6,)), 16))
    monkeypatch.setattr(fit_module, "init_member", lambda *shape: pytest.fail("made"))
    with pytest.raises(ValueError, match=r"population: 4 heads of widths 6 need .* at most 3 fit"):
        fit_all([RECIPE] * 4)
