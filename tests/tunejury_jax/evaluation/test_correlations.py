"""Coefficients against scipy and a brute-force counter, and laws that hold for any rows."""

import itertools
import math
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from tunejury_jax.evaluation.correlations import (
    COEFFICIENTS,
    PairCounts,
    count_pairs,
    kendall,
    pairwise_accuracy,
    pearson,
)

LEVELS = [1, 2, 3, 10, 100_000]


def drawn(n: int, levels_x: int, levels_y: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng((n, levels_x, levels_y, seed))
    return generator.integers(0, levels_x, n).astype(float), generator.integers(-levels_y, levels_y, n) / 7


def brute_force(x: np.ndarray, y: np.ndarray) -> PairCounts:
    counts = dict.fromkeys(PairCounts._fields, 0)
    for i, j in itertools.combinations(range(len(x)), 2):
        a, b = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
        kind = {(True, True): "tied_both", (True, False): "tied_x", (False, True): "tied_y"}.get((a == 0, b == 0))
        counts[kind or ("concordant" if a == b else "discordant")] += 1
    return PairCounts(**counts)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 61])
@pytest.mark.parametrize(("levels_x", "levels_y"), list(itertools.product(LEVELS, LEVELS)))
def test_pairs_against_brute_force(n: int, levels_x: int, levels_y: int) -> None:
    x, y = drawn(n, levels_x, levels_y)
    assert count_pairs(x, y) == brute_force(x, y)


@pytest.mark.parametrize("levels", LEVELS[1:])
def test_kendall_and_pearson_against_scipy(levels: int) -> None:
    x, y = drawn(2_000, levels, 5)
    assert kendall(x, y + x) == pytest.approx(scipy.stats.kendalltau(x, y + x).statistic, rel=1e-12)
    assert pearson(x, y + x) == pytest.approx(scipy.stats.pearsonr(x, y + x).statistic, rel=1e-12)


@pytest.mark.parametrize(("name", "method"), [("srcc", "spearman"), ("lcc", "pearson"), ("ktau", "kendall")])
@pytest.mark.parametrize("levels", [3, 1000])
def test_every_coefficient_against_pandas(
    name: str, method: Literal["spearman", "pearson", "kendall"], levels: int
) -> None:
    """Which is what the benchmark's own code uses."""
    generator = np.random.default_rng(levels)
    x = generator.integers(levels, size=300).astype(float)
    y = np.round(x + generator.normal(size=300) * levels / 2)
    expected = pd.Series(x).corr(pd.Series(y), method=method)
    assert COEFFICIENTS[name](x, y) == pytest.approx(expected, rel=1e-12)


def test_pairwise_accuracy_by_hand() -> None:
    scores, ratings = np.array([0.0, 1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0, 1.0])
    # rated apart: (0,1) right, (0,2) right, (1,2) equal scores, (1,3) wrong, (2,3) wrong; (0,3) rated alike
    assert pairwise_accuracy(scores, ratings) == 2.5 / 5


@pytest.mark.parametrize("seed", range(3))
def test_pairwise_accuracy_against_brute_force(seed: int) -> None:
    scores, ratings = drawn(50, 6, 4, seed)
    points = [
        0.5 + 0.5 * np.sign((scores[i] - scores[j]) * (ratings[i] - ratings[j]))
        for i, j in itertools.combinations(range(50), 2)
        if ratings[i] != ratings[j]
    ]
    assert pairwise_accuracy(scores, ratings) == pytest.approx(np.mean(points), rel=1e-14)


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_order_of_rows_shift_and_scale_change_nothing_and_sign_flips(name: str) -> None:
    coefficient, (x, y) = COEFFICIENTS[name], drawn(300, 9, 9)
    rows = np.random.default_rng(1).permutation(300)
    assert coefficient(x[rows], y[rows]) == pytest.approx(coefficient(x, y), rel=1e-12)
    assert coefficient(4 * x + 1024, y) == pytest.approx(coefficient(x, y), rel=1e-9)
    assert coefficient(-x, y) == pytest.approx(-coefficient(x, y), rel=1e-12)
    assert coefficient(y, x) == pytest.approx(coefficient(x, y), rel=1e-12)
    assert coefficient(x, x) == pytest.approx(1)


def test_rows_given_twice_leave_pairwise_accuracy_and_rank_coefficients_of_order_alone() -> None:
    x, y = drawn(80, 50, 50)
    twice = [np.repeat(values, 2) for values in (x, y)]
    assert pairwise_accuracy(*twice) == pytest.approx(pairwise_accuracy(x, y), rel=1e-14)
    assert COEFFICIENTS["srcc"](*twice) == pytest.approx(COEFFICIENTS["srcc"](x, y), rel=1e-12)


def test_accuracy_of_negated_scores_is_the_rest() -> None:
    scores, ratings = drawn(100, 7, 7)
    assert pairwise_accuracy(-scores, ratings) == pytest.approx(1 - pairwise_accuracy(scores, ratings), rel=1e-14)
    assert pairwise_accuracy(np.zeros(100), ratings) == 0.5


def test_pearson_of_huge_and_of_far_off_numbers() -> None:
    x = np.array([1.0, 2.0, 4.0])
    assert pearson(1e300 * x, x) == pytest.approx(1)
    assert pearson(1e9 + x, x) == pytest.approx(1)


def test_a_million_rows() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=1_000_000)
    y = np.round(x + generator.normal(size=1_000_000), 2)
    counts = count_pairs(x, y)
    assert sum(counts) == 1_000_000 * 999_999 // 2
    assert kendall(x[:100_000], y[:100_000]) == pytest.approx(0.5, abs=0.005)  # 2/pi asin(1/sqrt(2)) of normals


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("statistic", [kendall, pearson, pairwise_accuracy])
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0, 2.0], [1.0], "x, y: expected equal lengths of at least 1, got 2 and 1"),
        ([], [], "got 0 and 0"),
        ([1.0, math.nan], [1.0, 2.0], r"x\[1\]: expected a finite number"),
        ([1.0, 2.0], [math.inf, 2.0], r"y\[0\]: expected a finite number"),
        ([1.0, 2.0], [3.0, 3.0], "(y|ratings): expected at least two different values, got 2 of 3.0"),
        ([1.0], [3.0], "expected at least two different values"),
    ],
)
def test_bad_input_is_named(statistic, x: list[float], y: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        statistic(np.array(x), np.array(y))


def test_constant_scores_have_no_correlation() -> None:
    for coefficient in COEFFICIENTS.values():
        with pytest.raises(ValueError, match="x: expected at least two different values"):
            coefficient(np.ones(3), np.arange(3.0))
