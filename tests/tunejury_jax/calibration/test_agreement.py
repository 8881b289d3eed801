"""Where head and listeners disagree: against pandas and scipy, battle by battle."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from drawn_battles import drawn
from scipy.special import expit

from tunejury_jax.calibration.agreement import EDGES, agreement, by_margin, by_system, points, swing
from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.calibration.battles import Battles

BATTLES = drawn(300, systems=4)


def frame(battles: Battles) -> pd.DataFrame:
    """A row a side of a battle between two systems."""
    names = np.array(battles.systems)
    table = pd.DataFrame({"a": names[battles.system_a], "b": names[battles.system_b], "m": battles.margin})
    table["won"] = battles.a_won
    table = table[table.a != table.b]
    sides = [(table.a, table.m, table.won), (table.b, -table.m, ~table.won)]
    return pd.concat([pd.DataFrame({"system": s, "margin": m, "won": w}) for s, m, w in sides], ignore_index=True)


def swapped(battles: Battles) -> Battles:
    return battles._replace(
        system_a=battles.system_b, system_b=battles.system_a, margin=-battles.margin, a_won=~battles.a_won
    )


def test_systems_are_those_of_a_group_by() -> None:
    rows = {row["system"]: row for row in by_system(BATTLES)}
    for name, group in frame(BATTLES).groupby("system"):
        won, lost = group[group.won], group[~group.won]
        missed, favoured = int((won.margin < 0).sum()), int((lost.margin > 0).sum())
        row = rows.pop(name)
        assert row["battles"] == len(group)
        assert row["disagreements"] == {"missed": missed, "favoured": favoured}
        oracle = scipy.stats.binomtest(missed, len(won)).proportion_ci(method="wilson")
        assert tuple(row["missed"].values())[:4] == pytest.approx((missed / len(won), *oracle, len(won)))
        assert row["favoured"]["value"] == favoured / len(lost)
        tested = {"missed": (missed, len(won)), "favoured": (favoured, len(lost)), "lean": (missed, missed + favoured)}
        assert row["p"] == pytest.approx({k: scipy.stats.binomtest(*n, 0.5).pvalue for k, n in tested.items()})
        assert row["lean"]["value"] == pytest.approx((group.margin > 0).mean() - group.won.mean())
        assert row["lean"]["low"] < row["lean"]["value"] < row["lean"]["high"]
    assert not rows


def test_margins_are_those_of_a_cut() -> None:
    size = np.abs(BATTLES.margin)
    bins = pd.cut(pd.Series(size), [*EDGES, np.inf], right=False)
    right = pd.Series((BATTLES.margin > 0) == BATTLES.a_won)
    groups = right.groupby(bins, observed=False)
    promised = pd.Series(expit(size)).groupby(bins, observed=False).mean()
    for row, (bounds, group), expected in zip(by_margin(BATTLES), groups, promised, strict=True):
        assert (row["lo"], row["hi"] or np.inf) == (bounds.left, bounds.right)
        assert (row["accuracy"]["n"], row["accuracy"]["value"]) == (len(group), pytest.approx(group.mean()))
        assert row["promised"] == pytest.approx(expected)


def test_a_margin_on_an_edge_belongs_to_the_upper_bin() -> None:
    battles = BATTLES.take([0])._replace(margin=np.array([-0.5]))
    assert [row["accuracy"]["n"] for row in by_margin(battles)] == [0, 0, 0, 1, 0, 0, 0, 0]


def test_sides_do_not_matter() -> None:
    anchors = Anchors.fit(BATTLES)
    assert by_system(swapped(BATTLES)) == by_system(BATTLES)
    assert by_margin(swapped(BATTLES)) == by_margin(BATTLES)
    assert swing(swapped(BATTLES), anchors) == swing(BATTLES, anchors)


def test_undecided_battles_count_half() -> None:
    battles = BATTLES._replace(margin=np.zeros(300))
    assert agreement(battles).value == 0.5
    for row in by_system(battles):
        assert (row["missed"]["value"], row["favoured"]["value"], set(row["p"].values())) == (0.5, 0.5, {None})


def test_a_system_that_met_only_itself_is_left_out_and_one_battle_has_no_interval() -> None:
    battles = Battles(("x", "y"), ("s", "t", "u"), np.array([0, 1]), np.array([0, 2]), np.ones(2), np.ones(2, bool))
    rows = by_system(battles)
    assert [row["system"] for row in rows] == ["t", "u"]
    assert rows[0]["lean"] == {"value": 0, "low": None, "high": None, "n": 1, "interval": None}
    assert rows[1]["missed"]["value"] is None


def test_swing_is_what_anchors_change() -> None:
    anchors = Anchors.fit(BATTLES)
    logit = anchors.calibrate(BATTLES).logit
    for row in swing(BATTLES, anchors):
        code = BATTLES.systems.index(row["system"])
        met = (BATTLES.system_a == code) != (BATTLES.system_b == code)
        before, after = ((margin[met] > 0) == BATTLES.a_won[met] for margin in (BATTLES.margin, logit))
        assert (row["before"]["value"], row["after"]["value"]) == (before.mean(), after.mean())
        b, c = int((after & ~before).sum()), int((before & ~after).sum())
        assert row["change"]["value"] == pytest.approx((b - c) / met.sum())
        assert row["p"] == pytest.approx(scipy.stats.chi2.sf((b - c) ** 2 / max(b + c, 1), 1))
        assert row["known"]


def test_no_anchors_no_swing_and_no_battles_no_rows() -> None:
    none = BATTLES.take([])
    assert all(row["change"]["value"] == 0 and not row["known"] for row in swing(BATTLES, Anchors.fit(none)))
    assert (len(points(none)), by_system(none), agreement(none).value) == (0, [], None)
