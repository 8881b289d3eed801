"""Temperatures against closed forms, other solvers and laws."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from tunejury_jax.calibration.temperature import NoTemperatureError, fit_temperature
from tunejury_jax.metrics import log_loss


def pairs(n=400, true=1.7, ties=0.1, seed=0):
    generator = np.random.default_rng(seed)
    margins = generator.normal(0, 2, n)
    targets = (generator.random(n) < 1 / (1 + np.exp(-margins / true))).astype(float)
    targets[generator.random(n) < ties] = 0.5
    return margins, targets


@pytest.mark.parametrize(("right", "n", "margin"), [(3, 4, 2.0), (51, 100, 0.3), (99, 100, 40.0)])
def test_one_size_of_margin_has_a_closed_form(right, n, margin):
    targets = np.where(np.arange(n) < right, 1.0, 0.0)
    found = fit_temperature(np.full(n, margin), targets)
    assert found.value == pytest.approx(margin / logit(right / n), rel=1e-9)
    for end in (found.low, found.high):
        p = 1 / (1 + np.exp(-margin / end))
        deviance = -2 * (right * np.log(p) + (n - right) * np.log1p(-p))
        best = -2 * (right * np.log(right / n) + (n - right) * np.log1p(-right / n))
        if np.isfinite(end):
            assert deviance - best == pytest.approx(3.841458820694124, rel=1e-7)
        else:
            assert deviance - best < 3.8415


def test_other_solvers_find_the_same_minimum():
    margins, targets = pairs()
    oracle = minimize_scalar(lambda t: log_loss(margins / t, targets), bounds=(0.01, 100), method="bounded")
    assert fit_temperature(margins, targets).value == pytest.approx(oracle.x, rel=1e-4)
    margins, targets = pairs(ties=0)
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(margins[:, None], targets.astype(int))
    assert fit_temperature(margins, targets).value == pytest.approx(1 / model.coef_[0, 0], rel=1e-6)


def test_no_other_temperature_has_a_lower_log_loss():
    margins, targets = pairs()
    found = fit_temperature(margins, targets)
    least = log_loss(margins / found.value, targets)
    assert least < log_loss(margins, targets)
    for t in np.linspace(0.9, 1.1, 41) * found.value:
        assert log_loss(margins / t, targets) >= least - 1e-15
    limit = least + 3.841458820694124 / (2 * len(margins))
    assert log_loss(margins / found.low, targets) == pytest.approx(limit, abs=1e-12)
    assert log_loss(margins / found.high, targets) == pytest.approx(limit, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 3.0, 1e9])
def test_the_temperature_has_the_unit_of_the_margins(scale):
    margins, targets = pairs()
    one, scaled = fit_temperature(margins, targets), fit_temperature(margins * scale, targets)
    assert scaled[:3] == pytest.approx([scale * value for value in one[:3]], rel=1e-9)
    assert fit_temperature(margins / one.value, targets).value == pytest.approx(1.0, rel=1e-9)


def test_order_and_sides_do_not_matter_and_more_of_the_same_makes_surer():
    margins, targets = pairs()
    found = fit_temperature(margins, targets)
    order = np.random.default_rng(1).permutation(len(margins))
    assert fit_temperature(margins[order], targets[order]) == pytest.approx(found, rel=1e-9)
    assert fit_temperature(-margins, 1 - targets) == pytest.approx(found, rel=1e-9)
    twice = fit_temperature(np.tile(margins, 2), np.tile(targets, 2))
    assert twice.value == pytest.approx(found.value, rel=1e-9)
    assert found.low < twice.low < twice.value < twice.high < found.high


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    found = [fit_temperature(*pairs(n=150, ties=0, seed=seed)) for seed in range(100)]
    held = sum(one.low <= 1.7 <= one.high for one in found)
    assert 88 <= held <= 99  # 95 expected; 3 deviations of the binomial distribution


def test_pairs_that_do_not_tell_the_head_from_guessing_set_no_upper_bound():
    found = fit_temperature(np.ones(9), np.array([1.0] * 5 + [0.0] * 4))
    assert found.high == np.inf
    assert 0 < found.low < found.value < np.inf


@pytest.mark.parametrize(
    ("margins", "targets", "message"),
    [
        ([0.0, -0.0], [1.0, 0.0], "all margins are 0"),
        ([1.0, -2.0, 0.0], [1.0, 0.0, 1.0], "wrong on no pair"),
        ([1.0, 1.0], [1.0, 0.0], "no better than guessing"),
        ([1.0, -1.0, 2.0], [0.0, 1.0, 1.0], "no better than guessing"),
        ([-1.0, -1.0, 2.0], [1.0, 0.0, 0.0], "no better than guessing"),
        ([1.0, -3.0], [0.5, 0.5], "no better than guessing"),
    ],
)
def test_a_log_loss_without_a_minimum_says_why(margins, targets, message):
    with pytest.raises(NoTemperatureError, match=message):
        fit_temperature(np.array(margins), np.array(targets))


@pytest.mark.parametrize(
    ("margins", "targets", "message"),
    [
        ([np.nan, 1.0], [1.0, 0.0], r"margins\[0\]: expected a finite number"),
        ([1.0, 1.0], [1.0, 0.3], r"targets\[1\]: expected 0, 0.5 or 1"),
        ([1.0], [1.0, 0.0], "equal lengths"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_bad_pairs_are_refused(margins, targets, message):
    with pytest.raises(ValueError, match=message):
        fit_temperature(np.array(margins), np.array(targets))
