"""Mean and standard deviation over members, against float64 NumPy member by member."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from closeness import assert_close
from random_heads import random_checkpoint, random_state

from tunejury_jax.head import Head
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.members import stack
from tunejury_jax.prediction import mean_and_std, member_scores

CONFIG = HeadConfig(12, (6, 4))
HEAD = Head(CONFIG.widths)


def features(rows, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, CONFIG.input_dim)).astype(np.float32)


def stacked(seeds):
    return stack([random_checkpoint(seed=seed).variables for seed in seeds])


def oracle(seeds, x):
    return np.stack([reference.evaluate(random_state(CONFIG, seed), x) for seed in seeds])


@pytest.mark.parametrize("members", [1, 2, 5])
def test_scores_are_the_oracles_of_each_member(members):
    x = features(9)
    assert_close(member_scores(HEAD, stacked(range(members)), jnp.asarray(x)), oracle(range(members), x))


@pytest.mark.parametrize("members", [2, 5])
def test_mean_and_population_deviation_are_the_oracles(members):
    x = features(9)
    mean, std = mean_and_std(HEAD, stacked(range(members)), jnp.asarray(x))
    expected = oracle(range(members), x)
    assert_close(mean, expected.mean(axis=0))
    assert_close(std, np.sqrt(np.square(expected - expected.mean(axis=0)).sum(axis=0) / members))


def test_one_member_deviates_by_nothing():
    mean, std = mean_and_std(HEAD, stacked([3]), jnp.asarray(features(9)))
    assert_close(mean, oracle([3], features(9))[0])
    np.testing.assert_array_equal(std, np.zeros(9, np.float32))


def test_the_order_of_members_does_not_matter():
    x = jnp.asarray(features(50))
    ordered, shuffled = mean_and_std(HEAD, stacked([0, 1, 2, 3]), x), mean_and_std(HEAD, stacked([2, 0, 3, 1]), x)
    for found, expected in zip(shuffled, ordered, strict=True):
        assert_close(found, expected, 1e-6)


def test_a_shift_of_all_members_moves_the_mean_and_leaves_the_deviation():
    members, x = stacked([0, 1, 2]), jnp.asarray(features(9))
    moved = jax.tree.map(lambda array: array, members)
    moved["params"]["output"]["bias"] = members["params"]["output"]["bias"] + 0.5
    before, after = mean_and_std(HEAD, members, x), mean_and_std(HEAD, moved, x)
    assert_close(after[0], np.asarray(before[0]) + 0.5, 2e-6)
    assert_close(after[1], before[1], 2e-6)
