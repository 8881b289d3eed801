"""The package mauve-text on clusters and on features: its histograms, curves and values.

Features are drawn anew by `features`, which the tests call too, so golden files need not store them.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["CASES", "SEEDS", "features", "main"]

CASES = {"near": (200, 260, 0.1), "far": (260, 200, 0.6), "small": (12, 16, 0.3)}
"""Clips, clips of the reference set, and how far it is."""

SEEDS = range(25, 85)
DIM, CENTRES = 24, 9


def features(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping mixtures, float32; NumPy keeps the stream of these draws frozen."""
    n, m, apart = CASES[name]
    random = np.random.RandomState(sum(map(ord, name)))
    centres = random.standard_normal((CENTRES, DIM))
    x = centres[random.randint(0, CENTRES, n)] + 0.7 * random.standard_normal((n, DIM)) + apart
    y = centres[random.randint(0, CENTRES, m)] + 0.7 * random.standard_normal((m, DIM))
    return x.astype(np.float32), y.astype(np.float32)


def main(out: Path) -> None:
    """Writes `mauve.npz`."""
    golden = {f"{case}_{key}": value for case in CASES for key, value in _whole(case).items()}
    golden |= {f"{case}_{key}": value for case, p, q in _histograms() for key, value in _judged(p, q).items()}
    np.savez_compressed(out / "mauve.npz", allow_pickle=False, **golden)


def _whole(case: str) -> dict[str, np.ndarray]:
    """Everything by the package: its clusters of one seed, and the values of many."""
    package: Any = importlib.import_module("mauve.compute_mauve")
    x, y = features(case)
    made = [package.compute_mauve(p_features=x, q_features=y, seed=seed) for seed in SEEDS]
    first = made[0]
    return {
        "p": first.p_hist,
        "q": first.q_hist,
        "curve": first.divergence_curve,
        "mauve": np.float64(first.mauve),
        "by_seed": np.array([each.mauve for each in made]),
        "buckets": np.array(first.num_buckets),
    }


def _histograms() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Histograms that clusters seldom make: two buckets, empty ones, none in common, equal ones."""
    random = np.random.RandomState(0)
    yield "two", np.array([0.3, 0.7]), np.array([0.6, 0.4])
    yield "disjoint", np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.0, 0.0, 0.2, 0.8])
    yield "nested", np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
    yield "equal", np.array([0.3, 0.7]), np.array([0.3, 0.7])
    for number in range(6):
        p, q = (random.multinomial(90, random.dirichlet(np.full(30, 0.4))) / 90 for _ in range(2))
        yield f"drawn{number}", p, q


def _judged(p: np.ndarray, q: np.ndarray) -> dict[str, np.ndarray]:
    """As `compute_mauve` goes on from its histograms."""
    package: Any = importlib.import_module("mauve.compute_mauve")
    curve = package.get_divergence_curve_for_multinomials(p, q, np.linspace(1e-6, 1 - 1e-6, 25), 5)
    area = package.compute_area_under_curve
    x, y = curve.T
    by_x, by_y = np.argsort(x), np.argsort(y)
    value = 0.5 * (area(x[by_x], y[by_x]) + area(y[by_y], x[by_y]))
    return {"p": p, "q": q, "curve": curve, "mauve": np.float64(value)}
