"""The K-sweep: the protocol, step by step, and how methods compare."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from drawn_battles import drawn, objective
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import ttest_rel

from tunejury_jax.calibration.active import choose, expected_information
from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.calibration.fit import Prior
from tunejury_jax.calibration.increment import k_split, read_increment
from tunejury_jax.calibration.ksweep import METHODS, compare, k_sweep, universe_of

BATTLES = drawn(90, systems=4, scale=0.4)


@pytest.mark.parametrize("pinned", [None, "s2"])
def test_follows_the_protocol(pinned: str | None) -> None:
    """Written out again, with another solver."""
    universe = list(reversed(BATTLES.ids[10:]))
    rows = k_sweep(BATTLES, universe, (0, 3, 30), 3, pinned=pinned)
    for row, k in zip(rows, (0, 3, 30), strict=True):
        correct = []
        for seed in range(3):
            order = list(universe)
            random.Random(seed).shuffle(order)
            pool, test = order[:40], order[40:80]
            labelled = BATTLES.take([BATTLES.ids.index(name) for name in pool[:k]])
            held = pinned is not None and "s2" in {
                labelled.systems[c] for c in (*labelled.system_a, *labelled.system_b)
            }
            beta = minimize(
                lambda b, x=labelled, h=held: objective(np.append(np.where([0, 0, h, 0], 0, b), 1), x, Prior()),
                np.zeros(4),
            ).x
            beta[2] *= not held
            hits = 0
            for name in test:
                i = BATTLES.ids.index(name)
                z = BATTLES.margin[i] - beta[BATTLES.system_a[i]] + beta[BATTLES.system_b[i]]
                hits += (z > 0) == BATTLES.a_won[i]
            correct.append(int(hits))
        assert row["k"] == k
        assert row["correct"] == correct
        assert row["n_test"] == 40
        assert row["mean"] == pytest.approx(np.mean(correct) / 40)
        assert row["std"] == pytest.approx(math.sqrt(np.mean((np.array(correct) / 40 - row["mean"]) ** 2)))


@pytest.mark.parametrize("method", METHODS)
def test_without_labels_every_method_is_the_head_alone(method: str) -> None:
    (row,) = k_sweep(BATTLES, BATTLES.ids, (0,), 2, method)
    assert row == k_sweep(BATTLES, BATTLES.ids, (0,), 2)[0]


def test_a_fitted_scale_helps_where_margins_are_too_sure() -> None:
    battles = drawn(700, systems=6, seed=4, scale=0.3)
    published, scaled = (k_sweep(battles, battles.ids, (250,), 5, name) for name in ("published", "scale"))
    (difference,) = compare(scaled, published)
    assert difference["log_loss"]["high"] < 0
    assert scaled[0]["ece"] < published[0]["ece"]


def test_differences_are_paired_by_seed() -> None:
    ours, theirs = (k_sweep(BATTLES, BATTLES.ids, (30,), 6, name) for name in ("scale", "published"))
    (difference,) = compare(ours, theirs)
    interval = ttest_rel(ours[0]["log_loss"], theirs[0]["log_loss"]).confidence_interval(0.95)
    assert_allclose([difference["log_loss"]["low"], difference["log_loss"]["high"]], interval)
    assert difference["log_loss"]["mean"] == pytest.approx(
        np.subtract(ours[0]["log_loss"], theirs[0]["log_loss"]).mean()
    )


def test_a_single_seed_has_no_interval() -> None:
    rows = k_sweep(BATTLES, BATTLES.ids, (3,), 1)
    assert next(compare(rows, rows))["accuracy"] == {"mean": 0.0, "low": None, "high": None}


def test_information_is_the_mean_gain_of_the_two_answers() -> None:
    """The entropy of the posterior before, less its mean after either answer, each refitted."""
    anchors = Anchors.fit(BATTLES.take(range(60)))
    gains = expected_information(anchors, BATTLES.take(range(60, 90)))

    def entropy(fitted: Anchors) -> float:
        return float(np.linalg.slogdet(fitted.covariance[:-1, :-1])[1] / 2)

    for row, gain in zip(range(60, 66), gains, strict=False):
        battles = BATTLES.take([*range(60), row])
        p = expit(anchors.calibrate(BATTLES.take([row])).logit[0])
        after = [
            entropy(Anchors.fit(battles._replace(a_won=np.append(battles.a_won[:-1], won)))) for won in (True, False)
        ]
        assert gain == pytest.approx(entropy(anchors) - p * after[0] - (1 - p) * after[1], rel=0.25, abs=2e-3)


def test_chooses_what_tells_most_and_sees_no_label_before() -> None:
    order = choose(BATTLES, 20, Prior())
    assert len(set(order.tolist())) == 20
    first = expected_information(Anchors.fit(BATTLES.take([])), BATTLES)
    assert order[0] == first.argmax()
    unseen = np.ones(90, bool)
    unseen[order[:10]] = False
    flipped = BATTLES._replace(a_won=np.where(unseen, ~BATTLES.a_won, BATTLES.a_won))
    assert choose(flipped, 10, Prior()).tolist() == order[:10].tolist()


@pytest.mark.parametrize("size", [2, 7, 597, 598, 2000])
def test_pool_and_test_are_apart_and_equal(size: int) -> None:
    pool, test = k_split([str(n) for n in range(size)], 3)
    assert len(pool) == len(test) == min(299, size // 2)
    assert not {*pool} & {*test}


def test_reads_an_increment(tmp_path: Path) -> None:
    path = tmp_path / "increment.json"
    path.write_text(json.dumps({"new_uuids": ["b", "a", "b"], "n": 3}))
    assert read_increment(path) == ["b", "a"]
    path.write_text(json.dumps({"uuids": ["b"]}))
    with pytest.raises(ValueError, match="has no list of ids"):
        read_increment(path)


@pytest.mark.parametrize(
    ("ks", "method", "message"),
    [
        ((46,), "published", r"ks: got \[46\], accepted are 0 to 45"),
        ((-1,), "scale", r"got \[-1\]"),
        ((0,), "best", "method"),
    ],
)
def test_refuses_what_cannot_be_swept(ks: tuple[int, ...], method: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        k_sweep(BATTLES, BATTLES.ids, ks, 2, method)


def test_refuses_a_universe_without_battles_and_too_large_a_choice() -> None:
    with pytest.raises(ValueError, match="of 2 listed ids the battles have 1, at least 2"):
        universe_of(BATTLES, ["3", "elsewhere"])
    assert universe_of(BATTLES, ["7", "elsewhere", "3"]) == ["7", "3"]
    with pytest.raises(ValueError, match="count: got 91, accepted are 0 to 90"):
        choose(BATTLES, 91, Prior())
