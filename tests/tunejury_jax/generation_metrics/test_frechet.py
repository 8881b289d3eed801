"""The Frechet distance against matrix roots, closed forms and its laws."""

import numpy as np
import pytest
import scipy.linalg
from sklearn.covariance import LedoitWolf

from tunejury_jax.generation_metrics import Gaussian, frechet_distance


def drawn(n: int, dim: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return scale * generator.standard_normal((n, dim)) @ generator.standard_normal((dim, dim)) + seed


def by_matrix_root(mean_p: np.ndarray, cov_p: np.ndarray, mean_q: np.ndarray, cov_q: np.ndarray) -> float:
    """The textbook formula; scipy's root of the product of covariances."""
    root = scipy.linalg.sqrtm(cov_p @ cov_q).real
    return float(np.square(mean_p - mean_q).sum() + np.trace(cov_p + cov_q - 2 * root))


def test_known_gaussians_in_one_dimension() -> None:
    p, q = (Gaussian.of_moments(np.array([m]), np.array([[s**2]])) for m, s in ((1.0, 2.0), (4.0, 0.5)))
    assert p.distance(q) == pytest.approx((1 - 4) ** 2 + (2 - 0.5) ** 2, rel=1e-14)


def test_known_gaussians_whose_covariances_commute() -> None:
    turn = np.linalg.qr(drawn(5, 5))[0]
    spread_p, spread_q = np.array([3.0, 2.0, 1.0, 0.5, 0.2]), np.array([1.0, 4.0, 1.0, 0.3, 0.2])
    covariances = [turn @ np.diag(spread**2) @ turn.T for spread in (spread_p, spread_q)]
    p, q = (Gaussian.of_moments(np.full(5, mean), each) for mean, each in zip((0.0, 1.0), covariances, strict=True))
    assert p.distance(q) == pytest.approx(5 + np.square(spread_p - spread_q).sum(), rel=1e-12)


def test_clips_are_as_their_moments_and_as_the_matrix_root() -> None:
    x, y = drawn(60, 7), drawn(40, 7, seed=1, scale=0.3)
    moments = [(rows.mean(axis=0), np.cov(rows, rowvar=False, ddof=1)) for rows in (x, y)]
    expected = by_matrix_root(*moments[0], *moments[1])
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    p, q = (Gaussian.of_moments(*each) for each in moments)
    assert p.distance(q) == pytest.approx(expected, rel=1e-9)


def test_fewer_clips_than_dimensions_are_exact_too() -> None:
    x, y = drawn(9, 30), drawn(6, 30, seed=1)
    embedded = [np.hstack([rows, np.zeros((len(rows), 5))]) for rows in (x, y)]  # more dimensions of nothing
    turn = np.linalg.qr(drawn(35, 35))[0]
    turned = [rows @ turn for rows in embedded]
    assert frechet_distance(*turned) == pytest.approx(frechet_distance(x, y), rel=1e-12)
    common = np.linalg.svd((x - x.mean(0)) @ (y - y.mean(0)).T, compute_uv=False).sum() / np.sqrt(8 * 5)
    spread = x.var(0, ddof=1).sum() + y.var(0, ddof=1).sum()
    expected = np.square(x.mean(0) - y.mean(0)).sum() + spread - 2 * common
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_laws() -> None:
    x, y = drawn(20, 6), drawn(30, 6, seed=1)
    value = frechet_distance(x, y)
    assert frechet_distance(y, x) == pytest.approx(value, rel=1e-12)
    assert frechet_distance(x[::-1], y) == pytest.approx(value, rel=1e-12)
    assert frechet_distance(3 * x + 1, 3 * y + 1) == pytest.approx(9 * value, rel=1e-12)
    assert 0 <= frechet_distance(x, x) < 1e-10
    shifted = x + np.arange(6)
    assert frechet_distance(x, shifted) == pytest.approx(np.square(np.arange(6)).sum(), rel=1e-12)


def test_float32_is_reduced_in_float64() -> None:
    x, y = drawn(50, 4).astype(np.float32) + 1000, drawn(50, 4, seed=1).astype(np.float32) + 1000
    assert frechet_distance(x, y) == frechet_distance(x.astype(np.float64), y.astype(np.float64))


def test_shrinkage_is_ledoits_and_wolfs() -> None:
    x, y = drawn(8, 12), drawn(10, 12, seed=1)
    covariances = [LedoitWolf().fit(rows).covariance_ * len(rows) / (len(rows) - 1) for rows in (x, y)]
    expected = by_matrix_root(x.mean(0), covariances[0], y.mean(0), covariances[1])
    assert frechet_distance(x, y, "ledoit-wolf") == pytest.approx(expected, rel=1e-9)
    assert 0 <= frechet_distance(x, x, "ledoit-wolf") < 1e-9


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((1, 3)), np.ones((4, 3)), "x: expected at least 2 clips, got 1"),
        (np.ones((4, 3)), np.ones((0, 3)), "reference: expected at least 2 clips, got 0"),
        (np.ones((4, 3)), np.ones((4, 2)), "x, reference: expected one width, got 3 and 2"),
        (np.ones(4), np.ones((4, 2)), r"x: expected embeddings of the shape \(clips, dim\), got \(4,\)"),
        (
            np.ones((4, 2)),
            np.array([[1, 1], [1, np.nan], [np.inf, 1.0]]),
            r"reference\[1\]: not finite, nor are 1 other",
        ),
    ],
)
def test_bad_input_is_refused(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frechet_distance(x, y)


def test_a_covariance_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a symmetric one"):
        Gaussian.of_moments(np.zeros(2), np.array([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="expected no negative eigenvalue, got -1"):
        Gaussian.of_moments(np.zeros(2), np.diag([1.0, -1.0]))
