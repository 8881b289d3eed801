"""MPCD against a loop over pairs, and its interval against redraws in which only different clips make pairs."""

from itertools import combinations

import numpy as np
import pytest

from tunejury_jax.generation_metrics import mpcd

X = np.random.default_rng(0).standard_normal((9, 5)) + 0.5


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return 1 - float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b))


def by_loop(rows: list[int], x: np.ndarray) -> float | None:
    pairs = [(a, b) for a, b in combinations(rows, 2) if a != b]
    return float(np.mean([distance(x[a], x[b]) for a, b in pairs])) if pairs else None


def test_is_the_mean_over_pairs() -> None:
    found = mpcd(X)
    assert found.value == pytest.approx(by_loop(list(range(9)), X), rel=1e-12)
    assert found.n == 9


@pytest.mark.parametrize("n", [2, 3, 9])
def test_the_interval_is_that_of_redraws(n: int) -> None:
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), 1000)
    redraws = [by_loop(np.repeat(np.arange(n), count).tolist(), X[:n]) for count in counts]
    expected = np.quantile([value for value in redraws if value is not None], [0.025, 0.975])
    found = mpcd(X[:n])
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-9)


def test_intervals_hold_the_truth() -> None:
    """Gaussian directions around nothing: the mean distance is 1."""
    sets = [np.random.default_rng(seed).standard_normal((40, 6)) + 0.6 for seed in range(100)]
    found = [mpcd(rows) for rows in sets]
    truth = np.mean([each.value for each in found])
    held = np.mean([each.low <= truth <= each.high for each in found])
    assert 0.88 < held < 0.99


def test_laws() -> None:
    found = mpcd(X)
    assert mpcd(X * np.arange(1, 10)[:, None]).value == pytest.approx(found.value, rel=1e-12)
    assert mpcd(np.tile(X[:1], (4, 1))).value == pytest.approx(0, abs=1e-12)
    assert mpcd(np.array([[1.0, 0.0], [-2.0, 0.0]])).value == pytest.approx(2)
    assert mpcd(np.eye(6)).value == pytest.approx(1)
    assert mpcd(X) == found


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="x: expected at least 2 clips, got 1"):
        mpcd(X[:1])
    with pytest.raises(ValueError, match=r"x\[1\]: all zeros"):
        mpcd(np.array([[1.0, 0.0], [0.0, 0.0]]))
