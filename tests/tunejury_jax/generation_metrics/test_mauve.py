"""MAUVE against the package mauve-text (tests/golden/mauve.npz) and closed forms."""

from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad

from tests.oracles.mauve import CASES
from tunejury_jax.generation_metrics.mauve import WEIGHTS, divergence_curve, mauve

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "mauve.npz", allow_pickle=False)
NAMES = sorted(name.removesuffix("_curve") for name in GOLDEN.files if name.endswith("_curve"))


@pytest.mark.parametrize("name", NAMES)
def test_curve_and_value_are_those_of_mauve_text(name: str) -> None:
    p, q = GOLDEN[f"{name}_p"], GOLDEN[f"{name}_q"]
    assert np.abs(divergence_curve(p, q) - GOLDEN[f"{name}_curve"]).max() <= 1e-14
    assert float(mauve(p, q)) == pytest.approx(float(GOLDEN[f"{name}_mauve"]), rel=1e-13)


def test_there_are_golden_cases() -> None:
    assert {*CASES, "two", "disjoint", "nested", "equal", "drawn5"} <= set(NAMES)


def test_equal_histograms_have_one() -> None:
    random = np.random.default_rng(0)
    p = random.multinomial(60, random.dirichlet(np.full(12, 0.3)), 200) / 60
    assert np.abs(mauve(p, p) - 1).max() < 1e-12


def test_mauve_text_has_another_value_for_some_equal_histograms() -> None:
    """Why the points are not sorted: its own values of equal histograms, by what MAUVE must be."""
    by_seed = GOLDEN["small_by_seed"]
    assert set(by_seed[by_seed < 0.99].round(12)) == {0.75}


def test_histograms_without_a_common_bucket() -> None:
    p, q = np.array([0.25, 0.75, 0.0]), np.array([0.0, 0.0, 1.0])
    x, y = np.r_[1, (1 - WEIGHTS) ** 5, 0], np.r_[0, WEIGHTS**5, 1]
    assert float(mauve(p, q)) == pytest.approx(abs(np.trapezoid(y, x)), rel=1e-12)
    assert float(mauve(p, q)) == pytest.approx(1 / 252, rel=0.03)


def test_two_buckets_by_hand() -> None:
    """p = (1, 0), q = (1/2, 1/2): the mixture is ((1 + l)/2, (1 - l)/2), KL(p || r) = -ln((1 + l)/2) and
    KL(q || r) = -ln(1 - l^2)/2, so the area is the integral of ((1 + l)/2)^5 over x = (1 - l^2)^(5/2)."""
    exact, _ = quad(lambda mix: ((1 + mix) / 2) ** 5 * 5 * mix * (1 - mix**2) ** 1.5, 0, 1)
    x, y = np.r_[1, (1 - WEIGHTS**2) ** 2.5, 0], np.r_[0, ((1 + WEIGHTS) / 2) ** 5, 1]
    found = float(mauve(np.array([1.0, 0.0]), np.array([0.5, 0.5])))
    assert found == pytest.approx(abs(np.trapezoid(y, x)), rel=1e-12)
    assert found == pytest.approx(exact, rel=0.01)


def test_symmetric_and_blind_to_the_order_and_splitting_of_buckets() -> None:
    p, q = GOLDEN["drawn0_p"], GOLDEN["drawn0_q"]
    value = float(mauve(p, q))
    assert float(mauve(q, p)) == pytest.approx(value, rel=1e-12)
    assert float(mauve(p[::-1], q[::-1])) == pytest.approx(value, rel=1e-12)
    split = [np.r_[h / 3, 2 * h / 3] for h in (p, q)]
    assert float(mauve(*split)) == pytest.approx(value, rel=1e-12)


def test_many_histograms_at_once() -> None:
    p, q = (np.stack([GOLDEN[f"drawn{number}_{side}"] for number in range(6)]) for side in "pq")
    assert mauve(p, q).tolist() == [float(mauve(one, other)) for one, other in zip(p, q, strict=True)]
