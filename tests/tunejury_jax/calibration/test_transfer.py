"""Anchors on battles they have not seen, and how hard battles are."""

import numpy as np
import pandas as pd
import pytest
from drawn_battles import drawn
from scipy.special import expit

from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.calibration.difficulty import difficulty
from tunejury_jax.calibration.transfer import out_of_fold, transfer
from tunejury_jax.metrics import log_loss

BATTLES = drawn(240, systems=4, spread=2)


def test_a_battle_does_not_see_its_own_label() -> None:
    logits = out_of_fold(BATTLES)
    turned = BATTLES.a_won.copy()
    turned[7] = ~turned[7]
    again = out_of_fold(BATTLES._replace(a_won=turned))
    assert again[7] == logits[7]
    assert (again != logits).sum() > 100  # the others did


def test_every_battle_is_left_out_once_however_few() -> None:
    few = BATTLES.take(range(3))
    expected = [
        Anchors.fit(few.take([j for j in range(3) if j != i])).calibrate(few.take([i])).logit[0] for i in range(3)
    ]
    np.testing.assert_allclose(out_of_fold(few), expected, rtol=1e-12)


def test_transfer_is_each_month_on_each() -> None:
    month = np.arange(240) % 3
    rows = transfer(BATTLES, ("may", "june", "july"), month)
    assert [(row["fitted_on"], row["judged_on"]) for row in rows][:4] == [
        ("may", "may"),
        ("may", "june"),
        ("may", "july"),
        ("june", "may"),
    ]
    parts = [BATTLES.take(np.flatnonzero(month == code)) for code in range(3)]
    logit = Anchors.fit(parts[0]).calibrate(parts[2]).logit
    hits = (logit > 0) == parts[2].a_won
    assert rows[2]["after"]["value"] == pytest.approx(hits.mean())
    assert rows[2]["log_loss"]["after"] == pytest.approx(log_loss(logit, parts[2].a_won.astype(float)))
    assert rows[0]["after"]["value"] == pytest.approx(((out_of_fold(parts[0]) > 0) == parts[0].a_won).mean())


def test_what_the_systems_have_not_met_is_not_corrected() -> None:
    months = np.zeros(240, int)
    months[(BATTLES.system_a == 0) & (BATTLES.system_b == 1)] = 1
    strangers = BATTLES._replace(systems=("s0", "s1", "s2", "s3"))
    rows = transfer(strangers.take(np.argsort(months)), ("old", "new"), np.sort(months))
    (back,) = [row for row in rows if (row["fitted_on"], row["judged_on"]) == ("new", "old")]
    assert 0 < back["known"] < back["after"]["n"]


def test_systems_alone_tell_where_only_systems_matter() -> None:
    battles = drawn(1500, systems=5, scale=0.0, spread=3)
    found = difficulty(battles)
    assert found["systems_alone"]["low"] > found["agreement"]["high"]
    thirds = [row["accuracy"]["n"] for row in found["by_strength"]]
    assert sum(thirds) == 1500
    assert min(thirds) > 200


def test_promise_and_close_margins_are_counted() -> None:
    found = difficulty(BATTLES)
    size = np.abs(BATTLES.margin)
    assert found["promised"]["value"] == pytest.approx(expit(size).mean())
    table = pd.Series(size)
    margins = found["margins"]
    assert [margins[name] for name in ("n", "mean", "median")] == pytest.approx([240, table.mean(), table.median()])
    assert margins["under_0.5"]["value"] == pytest.approx((table < 0.5).mean())
    assert margins["under_1"]["value"] == pytest.approx((table < 1).mean())
    assert found["same_system"] == (BATTLES.system_a == BATTLES.system_b).sum()


def test_no_battle_is_refused() -> None:
    with pytest.raises(ValueError, match="labels: no battle"):
        difficulty(BATTLES.take([]))
