"""FAD with its interval, and without its bias."""

import importlib
from dataclasses import asdict
from typing import ClassVar

import numpy as np
import pytest

from tunejury_jax.generation_metrics import fad, fad_infinity, frechet_distance

DIM = 16
SPREAD = np.arange(1, DIM + 1.0) ** -0.5


def sets(n: int, m: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    x = 1.2 * SPREAD * generator.standard_normal((n, DIM)) + 0.2 * SPREAD
    return x, SPREAD * generator.standard_normal((m, DIM))


TRUE = float(np.square(0.2 * SPREAD).sum() * 2)
"""The means differ by .2, the deviations by .2 of each number's."""


def test_the_value_is_the_distance() -> None:
    x, y = sets(40, 30, 0)
    found = fad(x, y)
    assert found.value == frechet_distance(x, y)
    assert (found.n, found.n_reference) == (40, 30)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < found.value < found.high
    assert found.to_json() == asdict(found)
    assert fad(x, y) == found


def test_intervals_hold_the_mean_of_the_distance() -> None:
    found = [fad(*sets(60, 60, seed)) for seed in range(60)]
    mean = np.mean([each.value for each in found])
    held = [each.low <= mean <= each.high for each in found if each.low is not None and each.high is not None]
    assert 0.88 <= np.mean(held) <= 1
    widths = [each.high - each.low for each in found if each.low is not None and each.high is not None]
    assert 0.8 < np.mean(widths) / (3.92 * np.std([each.value for each in found])) < 1.5


def test_two_clips_have_no_interval() -> None:
    x, y = sets(2, 30, 0)
    assert (fad(x, y).low, fad(x, y).high) == (None, None)


def test_infinity_takes_the_bias_away() -> None:
    pairs = [sets(200, 2000, seed) for seed in range(8)]
    plain = [frechet_distance(*pair) for pair in pairs]
    infinite = [fad_infinity(*pair).value for pair in pairs]
    assert np.mean(plain) > TRUE + 0.05
    assert abs(np.mean(infinite) - TRUE) < 3 * np.std(infinite) / np.sqrt(8) + 0.01


def test_infinity_holds_the_truth() -> None:
    found = [fad_infinity(*sets(200, 1000, seed)) for seed in range(12)]
    held = [each.low <= TRUE <= each.high for each in found if each.low is not None and each.high is not None]
    assert np.mean(held) >= 0.8


class Law:
    """In the place of Gaussians: distances that obey the law exactly, 3 + 5 / k for k clips."""

    seen: ClassVar[list[np.ndarray]] = []

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    @classmethod
    def of(cls, rows: np.ndarray) -> "Law":
        return cls(rows)

    def distance(self, other: "Law") -> float:
        self.seen.append(self.rows)
        return 3 + 5 / len(self.rows)


@pytest.mark.usefixtures("untyped")
def test_infinity_of_a_line_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("tunejury_jax.generation_metrics.fad"), "Gaussian", Law)
    monkeypatch.setattr(Law, "seen", [])
    x, y = sets(61, 10, 0)
    assert fad_infinity(x, y).value == pytest.approx(3, abs=1e-12)
    assert [len(rows) for rows in Law.seen[:6]] == [61, 31, 30, 21, 20, 20]
    for of_size in (Law.seen[1:3], Law.seen[3:6]):  # every clip in one of the subsets
        assert np.array_equal(np.sort(np.concatenate(of_size), axis=0), np.sort(x, axis=0))


def test_too_few_clips_to_extrapolate_from() -> None:
    with pytest.raises(ValueError, match="x: expected at least 9 clips to extrapolate from, got 8"):
        fad_infinity(*sets(8, 30, 0))
