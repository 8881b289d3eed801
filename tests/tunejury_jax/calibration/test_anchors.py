"""Anchors as a file, and what they make of margins."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_battles import drawn
from numpy.testing import assert_allclose
from scipy.special import expit

from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.calibration.battles import Battles
from tunejury_jax.calibration.fit import Prior

BATTLES = drawn(120, systems=4)
SCALED = Prior(1.0, 2.0)


def one(system_a: str, system_b: str, margin: float) -> Battles:
    names = tuple(sorted({system_a, system_b}))
    codes = [np.array([names.index(name)]) for name in (system_a, system_b)]
    return Battles(("x",), names, *codes, np.array([margin]), np.array([True]))


def test_corrects_a_margin_as_written_out() -> None:
    anchors = Anchors.fit(BATTLES, SCALED)
    beta = dict(zip(anchors.systems, anchors.beta, strict=True))
    calibrated = anchors.calibrate(one("s3", "s1", 0.8))
    z = anchors.scale * 0.8 - beta["s3"] + beta["s1"]
    assert_allclose(calibrated.logit, z)
    assert_allclose(calibrated.probability, expit(z))
    assert calibrated.known.tolist() == [True]
    assert anchors.offset("s3") == beta["s3"]


def test_an_unknown_system_has_no_correction_and_is_flagged() -> None:
    anchors = Anchors.fit(BATTLES)
    calibrated = anchors.calibrate(one("s0", "newcomer", 0.5))
    assert_allclose(calibrated.logit, 0.5 - anchors.beta[0])
    assert calibrated.known.tolist() == [False]
    assert anchors.offset("newcomer") is None
    assert_allclose(calibrated.std**2, anchors.covariance[0, 0] + 0.5)


@pytest.mark.parametrize(("a", "b"), [("s0", "s1"), ("s3", "s2"), ("s1", "s1"), ("new", "s2"), ("new", "newer")])
def test_the_deviation_is_that_of_draws_from_the_posterior(a: str, b: str) -> None:
    anchors, margin = Anchors.fit(BATTLES, SCALED), 1.3
    rng = np.random.default_rng(0)
    theta = rng.multivariate_normal(np.zeros(5), anchors.covariance, size=200_000)
    unknown = rng.normal(0, np.sqrt(0.5), size=(2, 200_000))
    parts = [theta[:, int(name[1])] if name[1:].isdecimal() else unknown[i] for i, name in enumerate((a, b))]
    z = theta[:, 4] * margin - parts[0] + parts[1]
    assert_allclose(anchors.calibrate(one(a, b, margin)).std, z.std(), rtol=0.01)


def test_swapping_sides_turns_the_probability_around() -> None:
    anchors = Anchors.fit(BATTLES, SCALED)
    there, back = anchors.calibrate(one("s0", "s2", 0.7)), anchors.calibrate(one("s2", "s0", -0.7))
    assert_allclose(there.probability, 1 - back.probability)
    assert_allclose(there.std, back.std)


def test_only_systems_that_met_another_are_anchors() -> None:
    lonely = BATTLES._replace(system_b=np.where(BATTLES.system_a == 2, 2, BATTLES.system_b))
    kept = lonely.take(np.flatnonzero((lonely.system_a == 2) | (lonely.system_b != 2)))
    anchors = Anchors.fit(kept)
    assert anchors.systems == ("s0", "s1", "s3")


def test_pins_a_system_or_says_that_it_cannot() -> None:
    pinned = Anchors.fit(BATTLES, pinned="s1")
    assert pinned.offset("s1") == 0
    assert (pinned.pinned, pinned.warnings) == ("s1", ())
    absent = Anchors.fit(BATTLES, pinned="sonauto-v2-2")
    assert absent.pinned is None
    assert absent.warnings == ("'sonauto-v2-2' was to be pinned and has no battle: nothing is pinned",)
    assert_allclose(absent.beta, Anchors.fit(BATTLES).beta)


def test_a_file_gives_back_the_same(tmp_path: Path) -> None:
    path, anchors = tmp_path / "anchors.json", Anchors.fit(BATTLES, SCALED, "s1")
    anchors.save(path)
    loaded = Anchors.load(path)
    assert loaded.calibrate(BATTLES).std.tolist() == anchors.calibrate(BATTLES).std.tolist()
    assert loaded.calibrate(BATTLES).logit.tolist() == anchors.calibrate(BATTLES).logit.tolist()
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format 'other'"),
        ({"version": 9}, "version 9"),
        ({"systems": {"s0": 1.0}}, "covariance of shape"),
        ({"scale": float("nan")}, "not finite"),
        ({"systems": []}, "no anchors of tunejury-anchors"),
        ({"prior": {"l3": 1}}, "unexpected keyword"),
    ],
)
def test_refuses_a_file_that_is_none(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "anchors.json"
    Anchors.fit(BATTLES).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        Anchors.load(path)
