"""The best of n without drawing any: against all subsets, in exact fractions; and what a second head makes of it."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from tunejury_jax.applications.best_of_n.over_optimisation import (
    Fit,
    best_of_n_kl,
    expected_best,
    fit_gao,
    over_optimisation,
)
from tunejury_jax.applications.best_of_n.selection import select
from tunejury_jax.evaluation import estimates


@pytest.fixture(autouse=True)
def few_redraws(monkeypatch):
    monkeypatch.setattr(estimates, "REDRAWS", 100)


def over_all_subsets(rewards, order, n):
    """Mean over every subset of n candidates of the reward of its best, the first of equal ones."""
    best = [max(subset, key=lambda i: (order[i], -i)) for subset in combinations(range(len(order)), n)]
    return float(sum(Fraction(rewards[i]) for i in best) / len(best))


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_the_expected_best_is_the_mean_over_all_subsets(count):
    generator = np.random.default_rng(count)
    rewards, order = generator.normal(size=count), generator.integers(0, 4, count).astype(float)
    expected = [over_all_subsets(rewards, order, n) for n in range(1, count + 1)]
    np.testing.assert_allclose(expected_best(rewards, order, count), expected, rtol=1e-13)


def test_the_best_of_one_is_the_mean_and_of_all_the_maximum():
    rewards = np.random.default_rng(0).normal(size=1200)
    found = expected_best(rewards, rewards, 1200)
    np.testing.assert_allclose(found[[0, -1]], [rewards.mean(), rewards.max()], rtol=1e-12)
    assert (np.diff(found) >= 0).all()


def test_uniform_rewards_have_their_order_statistics():
    """The expected maximum of n of 1, ..., M is n (M + 1) / (n + 1)."""
    found = expected_best(np.arange(1.0, 33), np.arange(1.0, 33), 32)
    n = np.arange(1, 33)
    np.testing.assert_allclose(found, 33 * n / (n + 1), rtol=1e-14)


def test_kl_is_that_of_the_density_n_u_to_the_n_minus_1():
    """With u the quantile of a candidate's reward, the best of n has the density n u^(n - 1)."""
    u = (np.arange(2_000_000) + 0.5) / 2_000_000
    for n in (2, 5, 32):
        density = n * u ** (n - 1)
        assert best_of_n_kl(np.array([float(n)]))[0] == pytest.approx((density * np.log(density)).mean(), abs=1e-5)
    assert best_of_n_kl(np.ones(1))[0] == 0


def test_the_fit_finds_the_curve_it_was_made_of():
    kl = best_of_n_kl(np.arange(1.0, 33))
    fit = fit_gao(kl, Fit(1.5, 0.4).at(kl))
    assert (fit.alpha, fit.beta) == (pytest.approx(1.5), pytest.approx(0.4))
    noisy = Fit(1.5, 0.4).at(kl) + np.random.default_rng(0).normal(0, 0.1, len(kl))
    fit = fit_gao(kl, noisy)

    def error(alpha, beta):
        return np.square(Fit(alpha, beta).at(kl) - noisy).sum()

    for step in (-1e-3, 1e-3):
        assert error(fit.alpha, fit.beta) < min(error(fit.alpha + step, fit.beta), error(fit.alpha, fit.beta + step))


@pytest.fixture
def heads():
    """A proxy that is right about most clips, and wrong about those that it likes best."""
    generator = np.random.default_rng(0)
    judge = generator.normal(size=(40, 16))
    proxy = judge + 0.3 * generator.normal(size=judge.shape)
    hacked = generator.random(judge.shape) < 0.1
    return 5 * np.where(hacked, proxy + 6, proxy) + 3, np.where(hacked, judge - 3, judge)


def test_a_judge_falls_where_the_proxy_is_fooled(heads):
    report = over_optimisation(*heads, 16)
    proxy, judge = ([estimate.value for estimate in values] for values in (report.proxy, report.judge))
    assert (*report.proxy[0][:3], *report.judge[0][:3]) == (0,) * 6
    assert proxy == sorted(proxy)
    assert judge[-1] < judge[0]
    assert report.peak == 1 + int(np.argmax(judge)) < 16
    assert report.fits["judge"].beta > 0
    assert report.left_out == 0
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in report.judge[1:])


def test_at_the_largest_n_it_is_the_nested_selection(heads):
    proxy, judge = heads
    report = over_optimisation(proxy, judge, 16)
    chosen = select(proxy, (16,)).chosen
    of_judge = np.take_along_axis((judge - judge.mean()) / judge.std(), chosen, axis=1)
    assert report.judge[-1].value == pytest.approx(of_judge.mean())


def test_unit_and_offset_of_a_head_do_not_matter(heads):
    proxy, judge = heads
    plain, changed = over_optimisation(proxy, judge, 8), over_optimisation(0.1 * proxy - 7, 30 * judge + 100, 8)
    for one, other in ((plain.proxy, changed.proxy), (plain.judge, changed.judge)):
        np.testing.assert_allclose([e.value for e in one], [e.value for e in other], atol=1e-12)


def test_a_head_that_judges_itself_agrees(heads):
    report = over_optimisation(heads[0], heads[0], 16)
    assert report.proxy == report.judge
    assert report.peak == 16


def test_prompts_with_too_few_candidates_are_left_out_and_counted(heads):
    proxy, judge = (values.copy() for values in heads)
    proxy[0, :3], judge[1, 4] = np.nan, np.nan
    report = over_optimisation(proxy, judge, 14)
    without = over_optimisation(np.delete(proxy, 0, 0), np.delete(judge, 0, 0), 14)
    assert (report.left_out, report.judge[0].n) == (1, 39)
    assert report.judge == without.judge
    assert over_optimisation(proxy, judge, 16).left_out == 2
    with pytest.raises(ValueError, match="no prompt has 16 candidates that both heads could score"):
        over_optimisation(proxy[:2], judge[:2], 16)


def test_a_head_without_an_opinion_is_refused(heads):
    with pytest.raises(
        ValueError, match="judge: gives all candidates the reward 1, so that they have no standard deviation"
    ):
        over_optimisation(heads[0], np.ones_like(heads[0]), 4)


def test_two_values_of_n_are_not_enough_for_a_fit(heads):
    assert over_optimisation(*heads, 2).fits == {}


def test_the_document(heads):
    document = over_optimisation(*heads, 4).to_json()
    assert [row["n"] for row in document["rows"]] == [1, 2, 3, 4]
    assert set(document["rows"][0]) == {"n", "kl", "proxy", "judge"}
    assert set(document["fits"]["judge"]) == {"alpha", "beta"}
