"""Intervals: against scipy, against each other, and where there is none."""

import numpy as np
import pytest
import scipy.stats

from tunejury_jax.evaluation import estimates
from tunejury_jax.evaluation.correlations import kendall, pearson
from tunejury_jax.evaluation.estimates import Estimate, estimate_mean, estimate_rows, estimate_share


def related(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x, noise = np.random.default_rng(seed).normal(size=(2, n))
    return x, x + noise


def test_interval_of_a_correlation_is_near_fishers() -> None:
    x, y = related(400)
    found = estimate_rows(pearson, x, y)
    fisher = scipy.stats.pearsonr(x, y).confidence_interval()
    assert found.value == pearson(x, y)
    assert (found.low, found.high) == pytest.approx(tuple(fisher), abs=0.015)
    assert (found.n, found.interval) == (400, "bootstrap")


def test_batches_agree_with_the_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = related(8_000)
    monkeypatch.setattr(estimates, "REDRAWS", 200)
    bootstrapped = estimate_rows(kendall, x, y)
    monkeypatch.setattr(estimates, "MANY_ROWS", 8_000)
    dealt = estimate_rows(kendall, x, y)
    assert dealt.interval == "batches"
    assert dealt.value == bootstrapped.value
    widths = [found.high - found.low for found in (dealt, bootstrapped) if found.high and found.low]
    assert widths[0] == pytest.approx(widths[1], rel=0.35)


def test_batches_of_which_one_is_constant_have_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "MANY_ROWS", 100)
    x = np.zeros(200)
    x[0] = 1
    assert estimate_rows(pearson, x, np.arange(200.0))[1:] == (None, None, 200, None)


@pytest.mark.parametrize(("x", "y"), [([], []), ([1.0], [2.0]), ([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0, 1.0])])
def test_undefined_correlations_are_none(x: list[float], y: list[float]) -> None:
    assert estimate_rows(pearson, np.array(x), np.array(y)) == Estimate(None, None, None, len(x), None)


def test_redraws_without_an_order_are_left_out() -> None:
    found = estimate_rows(pearson, np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    assert found == Estimate(pytest.approx(1), pytest.approx(1), pytest.approx(1), 2, "bootstrap")


def test_shares_have_wilsons_interval_and_with_halves_the_bootstrap() -> None:
    oracle = scipy.stats.binomtest(7, 20).proportion_ci(method="wilson")
    whole = estimate_share(np.repeat([1.0, 0.0], [7, 13]))
    assert whole == Estimate(0.35, pytest.approx(oracle.low), pytest.approx(oracle.high), 20, "wilson")
    halves = estimate_share(np.repeat([1.0, 0.5, 0.0], [6, 2, 12]))
    assert (halves.value, halves.interval) == (0.35, "bootstrap")
    assert estimate_share(np.array([])) == Estimate(None, None, None, 0, None)


def test_the_seed_alone_decides() -> None:
    x, y = related(50)
    assert estimate_rows(pearson, x, y) == estimate_rows(pearson, x, y)
    assert estimate_rows(pearson, x, y, seed=1) != estimate_rows(pearson, x, y)
    assert estimate_mean(x) == estimate_mean(x)


def test_the_mean_of_many_is_students() -> None:
    x, _ = related(20_000)
    oracle = scipy.stats.t.interval(0.95, len(x) - 1, x.mean(), scipy.stats.sem(x))
    assert estimate_mean(x) == Estimate(x.mean(), pytest.approx(oracle[0]), pytest.approx(oracle[1]), 20_000, "student")
