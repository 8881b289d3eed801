"""Tests of group differences: against scipy's own, brute force, and laws."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from tunejury_jax.evaluation import estimates
from tunejury_jax.evaluation.probe import (
    anova,
    area,
    compare,
    probe_groups,
    probe_number,
    read_grouped,
    read_paired,
    welch,
)


@pytest.fixture(autouse=True)
def few_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "REDRAWS", 20)


def two(m: int = 40, n: int = 25, digits: int = 1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng((m, n))
    return generator.normal(0.5, 2, m).round(digits), generator.normal(0, 1, n).round(digits)


@pytest.mark.parametrize("sizes", [(2, 2), (40, 25), (3, 200)])
def test_welch_against_scipy(sizes: tuple[int, int]) -> None:
    x, y = two(*sizes, digits=3)
    oracle = scipy.stats.ttest_ind(x, y, equal_var=False)
    interval = oracle.confidence_interval()
    found = welch(x, y)
    expected = (oracle.statistic, oracle.df, oracle.pvalue, interval.low, interval.high)
    assert [found[name] for name in ("t", "df", "p", "low", "high")] == pytest.approx(expected, rel=1e-10)
    assert found["difference"] == pytest.approx(x.mean() - y.mean())


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_area_and_delongs_variance_against_brute_force(digits: int) -> None:
    x, y = two(digits=digits)
    wins = 0.5 + 0.5 * np.sign(x[:, None] - y)
    error = np.sqrt(wins.mean(1).var(ddof=1) / len(x) + wins.mean(0).var(ddof=1) / len(y))
    found = area(x, y)
    expected = wins.mean(), wins.mean() - 1.959963984540054 * error, wins.mean() + 1.959963984540054 * error
    assert found[:3] == pytest.approx(expected, rel=1e-12)


def test_area_is_mann_whitneys_u() -> None:
    x, y = two()
    found = compare(x, y)
    assert found["mann_whitney"]["u"] == pytest.approx(found["auc"]["value"] * len(x) * len(y))
    assert found["mann_whitney"]["p"] == scipy.stats.mannwhitneyu(x, y).pvalue


@pytest.mark.parametrize("count", [2, 3, 7])
def test_anova_against_scipy(count: int) -> None:
    groups = [np.random.default_rng(k).normal(k / 5, 1, 5 + k) for k in range(count)]
    oracle = scipy.stats.f_oneway(*groups)
    found = anova(groups)
    assert (found["f"], found["p"]) == pytest.approx((oracle.statistic, oracle.pvalue), rel=1e-10)
    assert found["eta2"] is not None
    assert 0 < found["eta2"] < 1


def test_sides_shift_and_order() -> None:
    x, y = two()
    forth, back = compare(x, y), compare(y, x)
    assert back["auc"]["value"] == pytest.approx(1 - forth["auc"]["value"])
    assert back["welch"]["t"] == pytest.approx(-forth["welch"]["t"])
    assert back["cohens_d"] == pytest.approx(-forth["cohens_d"])
    shifted = compare(x[::-1] + 64, y + 64)
    assert shifted["auc"] == pytest.approx(forth["auc"])
    assert shifted["welch"]["t"] == pytest.approx(forth["welch"]["t"])


def test_ties_everywhere() -> None:
    found = compare(np.ones(3), np.ones(4))
    assert found["auc"]["value"] == 0.5
    assert found["mann_whitney"] == {"u": 6.0, "p": 1.0}
    assert (found["welch"]["t"], found["welch"]["difference"], found["cohens_d"]) == (None, 0.0, None)
    assert anova([np.ones(3), np.ones(2)])["f"] is None


def test_groups_from_a_table_and_one_row_is_described_only(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("clip,score,kind\na,1,vocal\nb,3,vocal\nc,0,none\nd,1,none\ne,5,rare\n")
    found = probe_groups(*read_grouped(path, "score", "kind"))
    assert [row["group"] for row in found["groups"]] == ["none", "rare", "vocal"]
    assert found["groups"][1] == {"group": "rare", "n": 1, "mean": 5.0, "std": None, "median": 5.0}
    assert found["left_out"] == ["rare"]
    (pair,) = found["pairs"]
    assert (pair["first"], pair["second"], pair["welch"]["difference"]) == ("none", "vocal", -1.5)
    assert pair["auc"]["value"] == 0.5 / 4


@pytest.mark.parametrize("seed", range(2))
def test_deciles_part_the_rows_whatever_their_order(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 30, 500).astype(float)
    scores = values + generator.normal(0, 10, 500)
    found = probe_number(scores, values)
    assert sum(row["n"] for row in found["deciles"]) == 500
    assert all(a["to"] < b["from"] for a, b in zip(found["deciles"][:-1], found["deciles"][1:], strict=True))
    assert found["srcc"]["value"] == pytest.approx(scipy.stats.spearmanr(scores, values).statistic)
    rows = generator.permutation(500)
    again = probe_number(scores[rows], values[rows])
    assert [r["mean"] for r in again["deciles"]] == pytest.approx([r["mean"] for r in found["deciles"]])


def test_a_constant_number_is_one_bucket() -> None:
    found = probe_number(np.arange(5.0), np.ones(5))
    assert [row["n"] for row in found["deciles"]] == [5]
    assert (found["anova"], found["srcc"]["value"]) == (None, None)


def test_refuses_bad_tables(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("score,kind,plays\n1,a,3\n2,a,many\n")
    with pytest.raises(ValueError, match="column kind: 1 different values, accepted are 2 to 50"):
        read_grouped(path, "score", "kind")
    with pytest.raises(ValueError, match="column plays: expected finite numbers"):
        read_paired(path, "score", "plays")
    with pytest.raises(ValueError, match="column: got 'genre', accepted are 'score', 'kind', 'plays'"):
        read_grouped(path, "score", "genre")
