"""Intervals by the jackknife, against the one statistic whose interval is known."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from tunejury_jax.generation_metrics.jackknife import PARTS, SEED, jackknife


def test_a_difference_of_means_has_students_interval() -> None:
    generator = np.random.default_rng(1)
    x, y = generator.standard_normal(PARTS), generator.standard_normal(PARTS) + 1
    value, low, high = jackknife(lambda kept, other: x[kept].mean() - y[other].mean(), PARTS, PARTS)
    # With as many parts as rows the parts are single rows, left out in pairs.
    order = np.random.default_rng(SEED)
    first, second = (np.argsort(order.permutation(PARTS)) for _ in range(2))
    expected = ttest_rel(x[first], y[second]).confidence_interval(0.95)
    assert value == x.mean() - y.mean()
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert low is not None
    assert jackknife(lambda kept, other: x[kept].mean(), PARTS, PARTS, least=9.0).low == 9.0


def test_every_clip_is_left_out_once() -> None:
    left_out = np.zeros((2, 50), int)

    def statistic(kept: np.ndarray, kept_reference: np.ndarray) -> float:
        left_out[0] += ~kept
        left_out[1, :30] += ~kept_reference
        return 0.5

    assert jackknife(statistic, 50, 30) == (0.5, 0.5, 0.5)
    assert left_out.sum(axis=1).tolist() == [50, 30]
    assert left_out.max() == 1


def test_small_sets_have_as_many_parts_as_clips() -> None:
    calls: list[int] = []

    def statistic(kept: np.ndarray, kept_reference: np.ndarray) -> float:
        calls.append(int(kept.sum()))
        return 1.0

    assert jackknife(statistic, 4, 100) == (1.0, 1.0, 1.0)
    assert calls == [4, 3, 3, 3, 3]
    assert jackknife(statistic, 2, 100) == (1.0, None, None)
