"""Sequential and Stacked: the same trajectory for every member, whoever is beside it and whenever they stop."""

import jax
import numpy as np
import pytest
from closeness import assert_close
from toy_dataset import toy_dataset

from trainers.executors import Executor, Sequential, Stacked, for_backend, lanes_for
from trainers.fit import fit
from trainers.recipe import DataConfig, Recipe, TrainConfig

STATE = 1e-8
"""In float64: batching a product over members rounds it otherwise, and Adam amplifies that."""

SETTINGS = [
    {"learning_rate": 3e-2, "dropout": 0.2, "max_epochs": 9},
    {"learning_rate": 1e-2, "dropout": 0.5, "max_epochs": 1},
    {"learning_rate": 1e-3, "weight_decay": 0.1, "max_epochs": 3},
    {"learning_rate": 1e-2, "label_smoothing": 0.1, "seed": 7, "max_epochs": 4},
]
MANY = [{"learning_rate": 10.0 ** -(1 + n % 3), "seed": n, "max_epochs": 1 + n % 5} for n in range(16)]
LESS = DataConfig(blocks=("toy",), leave_out=("Tail",))


def recipes(settings=SETTINGS, data=()):
    """The last of four sees less of the data, so that lanes differ in the length of their epochs too."""
    trains = [TrainConfig(widths=(6,), batch_size=16, patience=4, min_delta=0.0, **values) for values in settings]
    return {n: Recipe(train, LESS if n % 4 == 3 else DataConfig()) for n, train in enumerate(trains)}


def fitted(executor, chosen=None):
    with jax.enable_x64(True):
        rows = []
        dataset = toy_dataset(dtype=np.float64, tail=17)
        fits = dict(fit(chosen or recipes(), dataset, rows.append, executor=executor))
    return fits, rows


def picked(numbers, chosen):
    return {number: chosen[number] for number in numbers}


@pytest.fixture(scope="module")
def sequential():
    return fitted(Sequential)


@pytest.fixture(scope="module")
def sixteen():
    return fitted(Sequential, recipes(MANY))[0]


def bits(fitted):
    return [leaf.tobytes() for leaf in jax.tree.leaves(fitted.variables)]


def assert_same_fit(found, expected):
    assert (found.recipe, found.epochs, found.best_epoch) == (expected.recipe, expected.epochs, expected.best_epoch)
    assert_close(np.float64(found.valid_loss), expected.valid_loss, STATE)
    assert_close(np.float64(found.valid_accuracy), expected.valid_accuracy)
    for a, b in zip(jax.tree.leaves(found.variables), jax.tree.leaves(expected.variables), strict=True):
        assert_close(a, b, STATE)


@pytest.mark.parametrize("order", [range(4), (1, 2, 3, 0), (3, 2, 1, 0)], ids=str)
def test_stacked_members_fare_as_sequential_ones_as_they_stop_one_by_one(sequential, order):
    fits, rows = fitted(Stacked, picked(order, recipes()))
    assert {fitted.epochs for fitted in fits.values()} == {1, 3, 4, 9}
    for number in order:
        assert_same_fit(fits[number], sequential[0][number])
    assert len(rows) == len(sequential[1])
    by_member = {(row.head, row.epoch): row for row in rows}
    for row in sequential[1]:
        assert_close(np.array(by_member[row.head, row.epoch][2:]), np.array(row[2:]), STATE)


@pytest.mark.parametrize("population", [1, 4, 16])
def test_a_member_fares_the_same_in_a_population_of_any_size(sixteen, population):
    chosen = recipes(MANY)
    for first in range(0, 16, population) if population > 1 else (3, 12):
        fits, _ = fitted(Stacked, picked(range(first, first + population), chosen))
        for number, found in fits.items():
            assert_same_fit(found, sixteen[number])


def test_lanes_are_cut_by_eighths_and_compiled_once_a_size():
    class Watched(Stacked):
        def run(self):
            metrics = super().run()
            sizes.append(self.lanes)
            programs.append(self._run)
            return metrics

    sizes, programs = [], []
    settings = [{"max_epochs": epochs, "seed": epochs} for epochs in (1, 2, 2, 4, 6, 7)]
    chosen = recipes(settings)
    fitted(Watched, chosen)
    assert sizes == [6, 5, 3, 3, 2, 2, 1]
    fitted(Watched, chosen)
    assert len(set(programs)) == 1
    assert programs[0]._cache_size() >= 5
    before = programs[0]._cache_size()
    fitted(Watched, chosen)
    assert programs[0]._cache_size() == before


@pytest.mark.parametrize(
    ("population", "sizes"),
    [
        (32, {32: 32, 29: 32, 28: 28, 27: 28, 17: 20, 5: 8, 4: 4, 3: 4, 2: 2, 1: 1}),
        (20, {20: 21, 18: 18, 4: 6, 3: 3, 2: 2, 1: 1}),
        (100, {100: 104, 91: 91, 14: 26, 13: 13, 9: 13, 8: 8, 5: 8, 1: 1}),
        (1, {1: 1}),
    ],
)
def test_sizes_are_eighths_of_a_population_and_then_powers_of_two(population, sizes):
    assert {members: lanes_for(members, population, 1) for members in sizes} == sizes
    shared = {members: lanes_for(members, population, 3) for members in sizes}
    assert all(size % 3 == 0 and 0 <= size - sizes[members] < 3 for members, size in shared.items())


def test_a_member_alone_and_among_others_is_bitwise_the_same(sequential):
    for number in (0, 3):
        alone, _ = fitted(Sequential, picked([number], recipes()))
        assert alone[number].valid_loss == sequential[0][number].valid_loss
        assert bits(alone[number]) == bits(sequential[0][number])


def test_the_order_of_members_changes_no_bit(sequential):
    fits, _ = fitted(Sequential, picked((3, 2, 1, 0), recipes()))
    for number, expected in sequential[0].items():
        assert fits[number].recipe == expected.recipe
        assert bits(fits[number]) == bits(expected)


@pytest.mark.parametrize("executor", [Sequential, Stacked])
def test_an_epoch_reads_nothing_from_the_host(executor, monkeypatch):
    class Leaky(executor):
        def __init__(self, members, hypers, program):
            number, hyper = next(iter(hypers.items()))
            super().__init__(members, hypers, program)
            if executor is Sequential:
                self._hypers = hypers | {number: hyper._replace(dropout=np.float64(0.5))}
            else:
                self._hypers = self._hypers._replace(dropout=np.full(self.lanes, 0.5))

    one = picked([0], recipes())
    fitted(executor, one)
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        fitted(Leaky, one)


def test_a_cpu_runs_members_one_after_another_and_anything_else_together(monkeypatch):
    assert for_backend() is Sequential
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert for_backend() is Stacked
    assert all(issubclass(kind, Executor) for kind in (Sequential, Stacked))
