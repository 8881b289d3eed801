"""Offsets of systems: whoever minimises, the same minimum."""

import numpy as np
import pytest
from drawn_battles import drawn, objective
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import expit

from tunejury_jax.calibration.battles import Battles
from tunejury_jax.calibration.fit import Prior, fit_offsets, fit_prior


@pytest.mark.parametrize("pinned", [None, 2])
@pytest.mark.parametrize("scale_l2", [None, 2.0])
@pytest.mark.parametrize("method", ["BFGS", "Nelder-Mead"])
def test_the_minimum_does_not_depend_on_the_solver(pinned: int | None, scale_l2: float | None, method: str) -> None:
    battles, prior = drawn(60, systems=4), Prior(0.7, scale_l2)
    held = [*([] if scale_l2 else [4]), *([] if pinned is None else [pinned])]
    free = [i for i in range(5) if i not in held]

    def of_free(values: np.ndarray) -> float:
        theta = np.array([0.0, 0, 0, 0, 1])
        theta[free] = values
        return objective(theta, battles, prior)

    options = (
        {"gtol": 1e-7} if method == "BFGS" else {"xatol": 1e-8, "fatol": 1e-12, "maxiter": 20_000, "maxfev": 20_000}
    )
    start = np.array([0.0, 0, 0, 0, 1])[free]
    found = minimize(of_free, start, method=method, options=options)
    fitted = fit_offsets(battles, prior, pinned)
    assert_allclose(np.append(fitted.beta, fitted.scale)[free], found.x, atol=2e-5)
    assert fitted.objective <= found.fun + 1e-10
    assert_allclose(np.append(fitted.beta, fitted.scale)[held], [1.0 if i == 4 else 0.0 for i in held], atol=0)


def test_the_gradient_at_the_minimum_is_zero_to_rounding() -> None:
    battles, prior = drawn(500, systems=8), Prior(1.0, 2.0)
    fitted = fit_offsets(battles, prior)
    theta = np.append(fitted.beta, fitted.scale)
    steps = 1e-5 * np.eye(9)
    slopes = [
        (objective(theta + step, battles, prior) - objective(theta - step, battles, prior)) / 2e-5 for step in steps
    ]
    assert_allclose(slopes, 0, atol=2e-7)


def test_one_pair_of_systems_has_a_closed_condition() -> None:
    """All battles alike, a always wins: n (1 - sigmoid(-2 b)) ... = 2 l2 b with beta = (-b, b)."""
    n, l2 = 12, 1.0
    battles = Battles(
        tuple(map(str, range(n))), ("x", "y"), np.zeros(n, int), np.ones(n, int), np.zeros(n), np.ones(n, bool)
    )
    fitted = fit_offsets(battles, Prior(l2))
    assert fitted.beta[0] == pytest.approx(-fitted.beta[1], abs=1e-12)
    assert n * expit(-2 * fitted.beta[1]) == pytest.approx(2 * l2 * fitted.beta[1], abs=1e-12)


def test_swapping_sides_and_the_order_of_battles_change_nothing() -> None:
    battles = drawn(200)
    swapped = Battles(battles.ids, battles.systems, battles.system_b, battles.system_a, -battles.margin, ~battles.a_won)
    shuffled = battles.take(np.random.default_rng(1).permutation(200))
    ours = fit_offsets(battles, Prior(1.0, 2.0))
    for other in (swapped, shuffled):
        theirs = fit_offsets(other, Prior(1.0, 2.0))
        assert_allclose(theirs.beta, ours.beta, atol=1e-12)
        assert_allclose(theirs.scale, ours.scale, atol=1e-12)


def test_a_system_against_itself_moves_no_offset() -> None:
    battles = drawn(50)
    alone = battles._replace(system_b=battles.system_a)
    assert_allclose(fit_offsets(alone).beta, 0, atol=1e-14)


def test_no_battles_leave_the_prior() -> None:
    fitted = fit_offsets(drawn(0), Prior(2.0, 5.0))
    assert_allclose(fitted.beta, 0)
    assert fitted.scale == 1
    assert_allclose(fitted.covariance, np.diag([0.25] * 5 + [0.1]))
    assert fitted.log_evidence == pytest.approx(0, abs=1e-12)


def test_separable_battles_stay_finite() -> None:
    battles = drawn(300)._replace(margin=np.zeros(300), a_won=np.ones(300, bool))
    one_sided = battles._replace(system_a=np.zeros(300, int), system_b=np.ones(300, int))
    fitted = fit_offsets(one_sided, Prior(1e-3))
    assert np.isfinite(fitted.beta).all()
    assert -fitted.beta[0] == pytest.approx(fitted.beta[1])
    assert fitted.beta[1] > 3


def test_recovers_what_the_battles_were_drawn_from() -> None:
    battles = drawn(40_000, systems=6, seed=3, scale=0.5)
    beta = np.random.default_rng(3)
    beta.integers(6, size=(2, 40_000))
    beta.normal(0, 1.5, 40_000)
    true = beta.normal(0, 1.0, 6)
    fitted = fit_offsets(battles, Prior(1e-3, 1e-3))
    sd = np.sqrt(np.diag(fitted.covariance))
    assert fitted.scale == pytest.approx(0.5, abs=4 * sd[-1])
    assert_allclose(fitted.beta - fitted.beta.mean(), true - true.mean(), atol=0.1)


def test_the_evidence_is_an_integral() -> None:
    """One free parameter, many battles: Laplace's value is the integral of likelihood times prior."""
    battles = drawn(400, systems=2, seed=2)
    prior = Prior(1.5)

    def density(beta: float) -> float:
        theta = np.array([0.0, beta, 1.0])
        normaliser = np.sqrt(prior.l2 / np.pi)
        return normaliser * np.exp(-objective(theta, battles, prior) + fitted.objective)

    fitted = fit_offsets(battles, prior, pinned=0)
    integral = np.log(quad(density, -3, 3, points=[fitted.beta[1]])[0]) - fitted.objective
    assert fitted.log_evidence == pytest.approx(integral, abs=0.01)


def test_the_prior_is_chosen_by_how_much_systems_differ() -> None:
    alike = fit_prior(drawn(3000, systems=20, spread=0.05)).l2
    apart = fit_prior(drawn(3000, systems=20, spread=1.5)).l2
    assert alike > 10
    assert apart == pytest.approx(1 / (2 * 1.5**2), rel=0.6)


def test_without_battles_the_prior_stays() -> None:
    assert fit_prior(drawn(0), Prior(3.0, 2.0)).l2 == pytest.approx(3.0, rel=2e-3)
    assert fit_prior(drawn(0), Prior(3.0, 2.0)).scale_l2 == 2.0


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (Prior(0.0), "l2: got 0.0, accepted are finite numbers above 0"),
        (Prior(float("nan")), "l2: got nan"),
        (Prior(1.0, -1.0), "scale_l2: got -1.0"),
    ],
)
def test_refuses_a_prior_that_is_none(prior: Prior, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_offsets(drawn(5), prior)
