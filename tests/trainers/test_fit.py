"""Fitting: who is trained with whom, when each stops, what comes out, and what happens to a head that explodes."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import assert_close
from toy_dataset import toy_dataset

from trainers import executors
from trainers.executors import Sequential, Stacked
from trainers.fit import fit
from trainers.population import margins
from trainers.recipe import TrainConfig
from tunejury_jax import metrics
from tunejury_jax.head import Head

DATA = toy_dataset()
RECIPE = TrainConfig(learning_rate=2e-2, dropout=0.1, widths=(6,), batch_size=16, max_epochs=6, patience=3)


def bits(fits):
    return [[leaf.tobytes() for leaf in jax.tree.leaves(fitted.variables)] for fitted in fits]


def rows_of(configs, dataset=DATA, executor=None):
    rows = []
    return fit(configs, dataset, rows.append, executor), rows


def test_a_preference_that_can_be_learned_is_learned():
    recipe = replace(RECIPE, dropout=0.0, max_epochs=80, patience=80)
    (fitted,) = fit([recipe], DATA)
    assert fitted.valid_accuracy > 0.9
    assert fitted.valid_loss < 0.3
    assert fitted.error is None


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    first, again, other = fit([RECIPE, RECIPE, replace(RECIPE, seed=1)], DATA)
    assert bits([first]) == bits([again]) == bits(fit([RECIPE], DATA))
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
    found = np.asarray(margins(Head((6,)), fitted.variables, DATA.arrays, valid, jnp.ones(12, bool)))
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
    assert [fitted.config for fitted in fits] == configs
    assert [fitted.epochs for fitted in fits] == [1, 2, 3]
    assert sorted((row.head, row.epoch) for row in rows) == [(0, 1), (1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]
    assert bits(fits[2:]) == bits(fit(configs[2:], DATA))
    assert all(fitted.seconds > 0 for fitted in fits)


def test_heads_of_one_shape_are_one_population():
    made = []

    def executor(members, hypers, program):
        made.append((len(members), program.widths, program.batch_size))
        return Sequential(members, hypers, program)

    shapes = [((6,), 16), ((4,), 16), ((6,), 16), ((6,), 20)]
    fit([replace(RECIPE, widths=w, batch_size=b, max_epochs=1) for w, b in shapes], DATA, executor=executor)
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
        assert bits([fits[0], fits[2]]) == bits(fit([RECIPE, replace(RECIPE, seed=1)], DATA))


def test_a_head_that_explodes_at_once_has_no_best_epoch():
    (fitted,) = fit([replace(RECIPE, learning_rate=1e38, weight_decay=1e30)], DATA)
    assert (fitted.best_epoch, fitted.epochs) == (0, 1)
    assert (fitted.valid_loss, math.isnan(fitted.valid_accuracy)) == (math.inf, True)
    assert fitted.error is not None


@pytest.mark.parametrize("train", [2, 3])
def test_two_pairs_are_enough_and_a_third_alone_is_left_out(train):
    (fitted,) = fit([replace(RECIPE, batch_size=2, max_epochs=2)], toy_dataset(train=train, valid=1))
    assert fitted.error is None
    assert fitted.epochs == 2


def test_one_pair_is_too_few():
    with pytest.raises(ValueError, match="split: 'train' has 1 usable pair, BatchNorm needs at least 2"):
        fit([RECIPE], toy_dataset(train=1))


@pytest.mark.parametrize(("train", "valid", "missing"), [(0, 5, "train"), (5, 0, "valid")])
def test_no_pair_is_refused_by_split(train, valid, missing):
    with pytest.raises(ValueError, match=f"split: '{missing}' has no usable pairs; the store has "):
        fit([RECIPE], toy_dataset(train=train, valid=valid))


def test_nothing_to_fit_fits_nothing():
    assert fit([], DATA) == []


def test_the_backend_chooses_the_executor(monkeypatch):
    made = []
    monkeypatch.setattr(executors, "Sequential", lambda *data: made.append(data) or Sequential(*data))
    fit([replace(RECIPE, max_epochs=1)], DATA)
    assert len(made) == 1
