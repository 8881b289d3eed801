"""Timing of rivals: rounds, quartiles and ratios."""

import numpy as np
from closeness import assert_close

from benchmarks.measure import paired_ratio, spread, time_rounds


def test_rivals_take_turns_and_the_warm_up_is_not_counted() -> None:
    called: list[str] = []
    rivals = {name: lambda name=name: called.append(name) for name in "abc"}
    seconds = time_rounds(rivals, rounds=4, warm_up=1)
    assert {name: len(values) for name, values in seconds.items()} == {"a": 4, "b": 4, "c": 4}
    rounds = ["".join(called[start : start + 3]) for start in range(0, 15, 3)]
    assert rounds[1:] == ["abc", "bca", "cab", "abc"]
    assert sorted(rounds[0]) == ["a", "b", "c"]


def test_a_spread_is_the_quartiles() -> None:
    found = spread(np.array([5.0, 1.0, 2.0, 4.0, 3.0]))
    assert found == (3.0, 2.0, 4.0, 1.0, 5)


def test_what_slows_a_whole_round_down_cancels() -> None:
    generator = np.random.default_rng(0)
    ours, slowness = generator.uniform(1, 2, 9), generator.uniform(1, 5, 9)
    factor = np.array([1.5, 2.0, 1.0, 3.0, 2.5, 2.0, 2.0, 1.8, 2.2])
    ratio = paired_ratio(factor * ours * slowness, ours * slowness)
    low, median, high = np.quantile(factor, [0.25, 0.5, 0.75])
    assert_close(np.array([ratio["low"], ratio["median"], ratio["high"]]), np.array([low, median, high]))
