"""Preferences between two clips: the logistic of the margin, and what anchors make of it."""

import math

import numpy as np
import pytest
from drawn_battles import drawn

from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.comparison import compare
from tunejury_jax.prediction import ClipPrediction

ANCHORS = Anchors.fit(drawn(120, systems=4))


def clip(reward):
    return ClipPrediction(reward, reward, 0.0)


@pytest.mark.parametrize(("a", "b"), [(0.3, -1.2), (-5.0, -5.0), (800.0, -800.0), (-800.0, 800.0)])
def test_the_probability_is_the_logistic_of_the_margin(a, b):
    there, back = compare(clip(a), clip(b)), compare(clip(b), clip(a))
    expected = 1 / (1 + math.exp(b - a)) if abs(a - b) < 700 else float(a > b)
    assert there.probability == pytest.approx(expected, abs=1e-12)
    assert there.probability + back.probability == pytest.approx(1.0)
    assert (there.logit, there.std, there.unknown_systems) == (a - b, None, ())


def test_anchors_correct_the_margin_as_written_out():
    beta = dict(zip(ANCHORS.systems, ANCHORS.beta, strict=True))
    found = compare(clip(0.5), clip(0.1), ANCHORS, "s3", "s1")
    z = ANCHORS.scale * 0.4 - beta["s3"] + beta["s1"]
    assert found.logit == pytest.approx(z)
    assert found.probability == pytest.approx(1 / (1 + math.exp(-z)))
    assert found.std is not None
    assert np.isfinite(found.std)
    back = compare(clip(0.1), clip(0.5), ANCHORS, "s1", "s3")
    assert back.probability + found.probability == pytest.approx(1.0)
    assert found.unknown_systems == ()


def test_clips_of_one_system_are_not_corrected():
    assert compare(clip(0.5), clip(0.1), ANCHORS, "s1", "s1").logit == pytest.approx(ANCHORS.scale * 0.4)


def test_unknown_systems_are_named():
    assert compare(clip(0.5), clip(0.1), ANCHORS, "s1", "newcomer").unknown_systems == ("newcomer",)
    assert compare(clip(0.5), clip(0.1), ANCHORS, "z", "newcomer").unknown_systems == ("newcomer", "z")


@pytest.mark.parametrize("systems", [(None, None), ("s1", None), (None, "s1")])
def test_anchors_need_both_systems(systems):
    with pytest.raises(ValueError, match=r"system_[ab]: got None; a system is named where there are anchors"):
        compare(clip(0.5), clip(0.1), ANCHORS, *systems)


def test_systems_need_anchors():
    with pytest.raises(ValueError, match="system_b: got 's1'; a system is named where there are anchors"):
        compare(clip(0.5), clip(0.1), None, None, "s1")
