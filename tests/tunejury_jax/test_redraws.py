"""Redraws as counts, against redraws of copied rows and against closed forms."""

import itertools

import numpy as np
import pytest

from tunejury_jax import metrics
from tunejury_jax.redraws import calibration_error_of, mean_of, redraw


def judged(n, seed=0, digits=None):
    """|margins| and outcomes; rounded margins are often equal."""
    generator = np.random.default_rng(seed)
    sizes = generator.exponential(1.0, n)
    return sizes if digits is None else np.round(sizes, digits), generator.choice([0.0, 0.5, 1.0], n)


def ece(sizes, outcome, bins=10):
    """Of rows as they are: an outcome is a margin's direction; undecided pairs are half right, half wrong."""
    order = np.argsort(sizes, kind="stable")
    sizes, outcome = sizes[order], outcome[order]
    shared = np.array([outcome[sizes == size].mean() for size in sizes])
    bins = min(bins, len(sizes))
    borders = [*(k * (len(sizes) // bins) for k in range(bins)), len(sizes)]
    total = 0.0
    for low, high in itertools.pairwise(borders):
        total += abs(sum(1 / (1 + np.exp(-sizes[i])) - shared[i] for i in range(low, high)))
    return total / len(sizes)


@pytest.mark.parametrize("digits", [None, 1, 0])
@pytest.mark.parametrize("n", [1, 7, 10, 23, 101])
def test_the_calibration_error_is_that_of_the_rows_that_were_drawn(n, digits):
    sizes, outcome = judged(n, digits=digits)
    statistic = calibration_error_of(sizes, outcome)
    generator = np.random.default_rng(1)
    for _ in range(5):
        rows = generator.integers(0, n, n)
        counts = np.bincount(rows, minlength=n)
        assert statistic(counts) == pytest.approx(ece(sizes[rows], outcome[rows]), abs=1e-12)


@pytest.mark.parametrize("digits", [None, 1])
def test_the_calibration_error_of_all_rows_is_that_of_their_bins(digits):
    generator = np.random.default_rng(2)
    margins = np.round(generator.normal(0, 2, 317), 3 if digits is None else digits)
    targets = (generator.random(317) < 0.6).astype(float)
    statistic = calibration_error_of(np.abs(margins), metrics.outcomes(margins, targets))
    expected = metrics.expected_calibration_error(metrics.reliability(margins, targets))
    assert statistic(np.ones(317, int)) == pytest.approx(expected, abs=1e-12)


def test_rows_of_one_size_share_their_outcome_in_every_redraw():
    outcome = np.array([1.0] * 6 + [0.0] * 14)
    found = redraw({"ece": calibration_error_of(np.full(20, 2.0), outcome), "right": mean_of(outcome)}, 20)
    confidence = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(found["ece"].redraws, np.abs(confidence - found["right"].redraws), atol=1e-12)


def test_intervals_are_those_of_the_bootstrap_that_copies_rows():
    values = np.random.default_rng(3).normal(size=50)
    found = redraw({"mean": mean_of(values)}, 50)["mean"].estimate()
    low, high = metrics.bootstrap(lambda rows: float(rows.mean()), values)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-12)


def test_the_interval_of_a_mean_is_nearly_that_of_the_normal_distribution():
    values = np.random.default_rng(4).normal(size=4000)
    found = redraw({"mean": mean_of(values)}, 4000, samples=4000)["mean"].estimate()
    half = 1.96 * values.std() / np.sqrt(4000)
    assert (found["low"], found["high"]) == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 10)


def test_a_difference_is_paired():
    values = np.random.default_rng(5).normal(size=30)
    found = redraw({"a": mean_of(values), "b": mean_of(values + 1)}, 30)
    again = redraw({"b": mean_of(values + 1)}, 30)["b"]
    assert (again - found["b"]).estimate() == {"value": 0.0, "low": 0.0, "high": 0.0}
    difference = found["b"] - found["a"]
    assert difference.value == pytest.approx(1.0)
    np.testing.assert_allclose(difference.redraws, 1.0)
    assert (found["a"] - found["b"]).estimate()["low"] == pytest.approx(-difference.estimate()["high"])


def test_without_rows_there_is_nothing_to_redraw():
    with pytest.raises(ValueError, match="rows: got 0, accepted are numbers from 1"):
        redraw({}, 0)
