"""Sequential and Stacked: the same trajectory for every member, whoever is beside it and whenever they stop."""

import jax
import numpy as np
import pytest
from closeness import assert_close
from toy_dataset import toy_dataset

from trainers import executors
from trainers.executors import Executor, Sequential, Stacked, for_backend
from trainers.fit import fit
from trainers.recipe import TrainConfig

STATE = 1e-8
"""In float64: batching a product over members rounds it otherwise, and Adam amplifies that."""

SETTINGS = [
    {"learning_rate": 3e-2, "dropout": 0.2, "max_epochs": 9},
    {"learning_rate": 1e-2, "dropout": 0.5, "max_epochs": 1},
    {"learning_rate": 1e-3, "weight_decay": 0.1, "max_epochs": 3},
    {"learning_rate": 1e-2, "label_smoothing": 0.1, "seed": 7, "max_epochs": 4},
]


def configs(settings=SETTINGS):
    return [TrainConfig(widths=(6,), batch_size=16, patience=4, min_delta=0.0, **values) for values in settings]


def fitted(executor, settings=SETTINGS):
    with jax.enable_x64(True):
        rows = []
        fits = fit(configs(settings), toy_dataset(dtype=np.float64), rows.append, executor)
    return fits, rows


@pytest.fixture(scope="module")
def sequential():
    return fitted(Sequential)


def assert_same_fit(found, expected):
    assert (found.config, found.epochs, found.best_epoch) == (expected.config, expected.epochs, expected.best_epoch)
    assert_close(np.float64(found.valid_loss), expected.valid_loss, STATE)
    assert_close(np.float64(found.valid_accuracy), expected.valid_accuracy)
    for a, b in zip(jax.tree.leaves(found.variables), jax.tree.leaves(expected.variables), strict=True):
        assert_close(a, b, STATE)


@pytest.mark.parametrize("order", [range(4), (1, 2, 3, 0), (3, 2, 1, 0)], ids=str)
def test_stacked_members_fare_as_sequential_ones_as_they_stop_one_by_one(sequential, order):
    fits, rows = fitted(Stacked, [SETTINGS[i] for i in order])
    assert {fitted.epochs for fitted in fits} == {1, 3, 4, 9}
    for found, number in zip(fits, order, strict=True):
        assert_same_fit(found, sequential[0][number])
    assert len(rows) == len(sequential[1])
    by_member = {(order[row.head], row.epoch): row for row in rows}
    for row in sequential[1]:
        found = by_member[row.head, row.epoch]
        assert_close(np.array(found[2:]), np.array(row[2:]), STATE)


def test_a_stopped_member_keeps_its_state_while_its_lane_runs_on(sequential):
    # Four lanes stay four with three members going on, so that of the one with a single epoch is run on for nothing.
    fits, _ = fitted(Stacked)
    assert_same_fit(fits[1], sequential[0][1])
    assert fits[1].best_epoch == 1


def test_lanes_are_cut_to_powers_of_two(monkeypatch):
    sizes = []

    def record(members, hypers, *data, **shape):
        sizes.append(len(hypers.key))
        return executors_run(members, hypers, *data, **shape)

    executors_run = executors.run_stacked_epoch
    monkeypatch.setattr(executors, "run_stacked_epoch", record)
    fitted(Stacked)
    assert sizes == [4, 4, 4, 2, 1, 1, 1, 1, 1]


def test_a_member_alone_and_among_others_is_bitwise_the_same(sequential):
    for number in (0, 3):
        (alone,), _ = fitted(Sequential, [SETTINGS[number]])
        together = sequential[0][number]
        assert alone.valid_loss == together.valid_loss
        for a, b in zip(jax.tree.leaves(alone.variables), jax.tree.leaves(together.variables), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_order_of_members_changes_no_bit(sequential):
    fits, _ = fitted(Sequential, SETTINGS[::-1])
    for found, expected in zip(fits[::-1], sequential[0], strict=True):
        assert (found.config, found.valid_loss) == (expected.config, expected.valid_loss)
        for a, b in zip(jax.tree.leaves(found.variables), jax.tree.leaves(expected.variables), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_cpu_runs_members_one_after_another_and_anything_else_together(monkeypatch):
    assert for_backend() is Sequential
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert for_backend() is Stacked
    assert all(issubclass(kind, Executor) for kind in (Sequential, Stacked))
