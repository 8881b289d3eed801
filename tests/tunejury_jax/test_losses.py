"""The loss of one pair against closed forms, laws, and float64 where float32 is at its end."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from closeness import assert_close
from scipy.special import expit

from tunejury_jax.losses import pair_loss, smooth

MARGINS = [-800.0, -30.0, -17.0, -1.0, -1e-4, 0.0, 0.3, 5.0, 40.0, 800.0]
TARGETS = [0.0, 0.05, 0.5, 0.8, 1.0]


def loss(margin, target):
    return pair_loss(jnp.float32(margin), jnp.float32(target))


@pytest.mark.parametrize("target", TARGETS)
def test_no_opinion_costs_ln_2(target):
    assert_close(loss(0.0, target), math.log(2))


@pytest.mark.parametrize(("margin", "target", "nats"), [(1.5, 1, 0.2014133), (1.5, 0, 1.7014133), (-2, 0.5, 1.126928)])
def test_known_values(margin, target, nats):
    assert_close(loss(margin, target), nats, tolerance=1e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("margin", MARGINS)
def test_loss_is_float64s_at_every_size_of_margin(margin, target):
    found, expected = loss(margin, target), reference.pair_loss(np.float32(margin), np.float32(target))
    assert np.isfinite(found)
    assert_close(found, expected, tolerance=1e-6)


def test_a_sure_and_right_margin_still_costs_something():
    assert loss(30.0, 1.0) == pytest.approx(math.exp(-30), rel=1e-5)
    assert loss(-30.0, 0.0) == pytest.approx(math.exp(-30), rel=1e-5)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("margin", MARGINS)
def test_naming_the_clips_the_other_way_round_changes_nothing(margin, target):
    flipped = pair_loss(-jnp.float32(margin), 1 - jnp.float32(target))
    assert_close(loss(margin, target), flipped, tolerance=1e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("margin", MARGINS)
def test_gradient_is_what_the_head_believes_less_what_was_said(margin, target):
    gradient = jax.grad(pair_loss)(jnp.float32(margin), jnp.float32(target))
    assert_close(gradient, expit(margin) - np.float32(target), tolerance=1e-6)


def test_batches_are_a_vmap_of_pairs():
    margins, targets = np.meshgrid(np.float32(MARGINS), np.float32(TARGETS))
    batched = jax.vmap(pair_loss)(jnp.asarray(margins.ravel()), jnp.asarray(targets.ravel()))
    assert_close(batched, reference.pair_loss(margins.ravel(), targets.ravel()), tolerance=1e-6)


@pytest.mark.parametrize(
    ("target", "smoothing", "expected"), [(1, 0.1, 0.95), (0, 0.1, 0.05), (1, 1, 0.5), (0, 1, 0.5)]
)
def test_smoothing_moves_a_target_to_the_tie(target, smoothing, expected):
    assert_close(smooth(jnp.float32(target), jnp.float32(smoothing)), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.07, 1.0])
def test_smoothing_leaves_ties_and_no_smoothing_leaves_all(smoothing):
    assert smooth(jnp.float32(0.5), jnp.float32(smoothing)) == 0.5
    assert [float(smooth(jnp.float32(y), jnp.float32(0))) for y in (0.0, 0.25, 1.0)] == [0.0, 0.25, 1.0]
