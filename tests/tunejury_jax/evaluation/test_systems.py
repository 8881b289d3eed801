"""Votes, leaderboard and ranking: against a general optimiser, plain loops and laws."""

from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from numpy.testing import assert_allclose

from tunejury_jax.calibration.columns import Columns
from tunejury_jax.evaluation import systems
from tunejury_jax.evaluation.leaderboard import points_matrix, rate
from tunejury_jax.evaluation.systems import rank, stand
from tunejury_jax.evaluation.votes import Votes, read_votes

HEADER = "battle_id,preference,system_a,system_b,tj_a,tj_b\n"
ROWS = ["1,A,sun,moon,1,0", "2,TIE,moon,sun,0.5,0.5", "3,BOTH_BAD,moon,earth,0,0", "4,B,sun,sun,2,1"]


@pytest.fixture(autouse=True)
def few_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems, "REDRAWS", 40)


def written(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "votes.csv"
    path.write_text(HEADER + "".join(row + "\n" for row in rows))
    return path


def drawn(n: int = 400, count: int = 5, seed: int = 0) -> Votes:
    """Systems of rising quality, which scores and listeners follow alike."""
    generator = np.random.default_rng(seed)
    a = generator.integers(0, count, n)
    b = (a + generator.integers(1, count, n)) % count
    scores = np.array([a, b]) + generator.normal(size=(2, n))
    points = (generator.random(n) < 1 / (1 + np.exp(b - a))).astype(float)
    points[generator.random(n) < 0.1] = 0.5
    return Votes(tuple(f"system {i}" for i in range(count)), a, b, points, *scores)


def weighted_rows(votes: Votes) -> list[tuple[int, int, float, float]]:
    """Music Arena's samples: (a, b, whether a won, weight), a tie as two of half weight."""
    rows = []
    for a, b, points in zip(votes.a, votes.b, votes.points, strict=True):
        rows += [(a, b, 1.0, 0.5), (a, b, 0.0, 0.5)] if points == 0.5 else [(a, b, points, 1.0)]
    return rows


def optimised(votes: Votes) -> np.ndarray:
    def loss(theta: np.ndarray) -> float:
        terms = [w * np.logaddexp(0, (1 - 2 * won) * (theta[a] - theta[b])) for a, b, won, w in weighted_rows(votes)]
        return float(np.sum(terms) + theta @ theta / 2)

    theta = scipy.optimize.minimize(loss, np.zeros(len(votes.systems)), method="BFGS", options={"gtol": 1e-7}).x
    return 1000 + 400 / np.log(10) * (theta - theta.mean())


@pytest.mark.parametrize("seed", range(3))
def test_ratings_against_a_general_optimiser(seed: int) -> None:
    votes = drawn(60, 4, seed)
    assert_allclose(rate(points_matrix(votes)), optimised(votes), atol=1e-3)


def test_rating_of_two_systems_in_closed_form() -> None:
    votes = Votes(("x", "y"), np.zeros(3, int), np.ones(3, int), np.ones(3), np.ones(3), np.zeros(3))
    theta = scipy.optimize.brentq(lambda t: 3 / (1 + np.exp(2 * t)) - t, 0, 3)
    high, low = rate(points_matrix(votes))
    assert high - low == pytest.approx(2 * theta * 400 / np.log(10), abs=1e-8)
    assert (high + low) / 2 == pytest.approx(1000)


def test_ratings_of_a_side_that_always_wins_are_finite_and_ordered() -> None:
    count = 40
    a, b = np.triu_indices(count, 1)
    votes = Votes(tuple(map(str, range(count))), np.tile(a, 500), np.tile(b, 500), *np.ones((3, 500 * len(a))))
    ratings = rate(points_matrix(votes))
    assert np.isfinite(ratings).all()
    assert (np.diff(ratings) < 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_ratings_of_very_uneven_counts_leave_no_slope(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = np.triu(np.exp(generator.normal(0, 4, (8, 8))), 1)
    theta = (rate(points) - 1000) * np.log(10) / 400  # their mean is 0, and so is that of the minimum
    p = 1 / (1 + np.exp(theta - theta[:, None]))
    slope = (points - (points + points.T) * p).sum(1) - theta
    assert np.abs(slope).max() < 1e-9 * points.sum()


def swap(votes: Votes) -> Votes:
    return Votes(votes.systems, votes.b, votes.a, 1 - votes.points, votes.score_b, votes.score_a)


@pytest.mark.parametrize("seed", range(3))
def test_sides_order_and_shift_do_not_matter(seed: int) -> None:
    votes = drawn(seed=seed)
    whole = stand(votes)
    for other in (swap(votes), votes.take(np.random.default_rng(seed).permutation(400))):
        for found, expected in zip(stand(other), whole, strict=True):
            assert_allclose(found, expected, rtol=1e-12)
    shifted = stand(votes._replace(score_a=votes.score_a + 7, score_b=votes.score_b + 7))
    assert_allclose(shifted.mean_score, whole.mean_score + 7)


def test_standings_against_a_loop() -> None:
    votes = drawn(50)
    found = stand(votes)
    for code in range(5):
        scores = [*votes.score_a[votes.a == code], *votes.score_b[votes.b == code]]
        points = [*votes.points[votes.a == code], *(1 - votes.points[votes.b == code])]
        assert found.battles[code] == len(scores)
        assert found.mean_score[code] == pytest.approx(np.mean(scores))
        assert found.win_rate[code] == pytest.approx(np.mean(points))


def test_twice_the_votes_leave_rates_and_spread_the_ratings() -> None:
    votes = drawn()
    once, twice = stand(votes), stand(votes.take(np.repeat(np.arange(400), 2)))
    assert_allclose(twice.win_rate, once.win_rate)
    assert np.ptp(twice.rating) > np.ptp(once.rating)  # the penalty weighs less


def test_ranking_has_the_right_order_and_intervals() -> None:
    votes = drawn()
    found, whole = rank(votes), stand(votes)
    assert [row["system"] for row in found["systems"]] == [f"system {i}" for i in (4, 3, 2, 1, 0)]
    assert found["win_rate"]["spearman"]["value"] == pytest.approx(1)
    expected = scipy.stats.pearsonr(whole.mean_score, whole.rating).statistic
    assert found["rating"]["pearson"]["value"] == pytest.approx(expected)
    for row in found["systems"]:
        for field in ("mean_score", "win_rate", "rating"):
            assert row[field]["low"] < row[field]["value"] < row[field]["high"]
    assert found["counts"]["votes"] == 400
    assert rank(votes) == found
    assert rank(votes, seed=1) != found


def test_a_system_with_one_battle_is_listed_and_can_be_left_out() -> None:
    votes = drawn(100, 3)
    one = Votes(("a", "b", "c", "new"), *(np.append(v, v[0]) for v in votes[1:-1]))
    one.a[-1] = 3
    found = rank(one, min_battles=2)
    (row,) = [row for row in found["systems"] if row["system"] == "new"]
    assert row["battles"] == 1
    assert row["win_rate"]["value"] in (0, 0.5, 1)
    assert found["counts"]["systems left out of correlations"] == 1
    assert found["win_rate"]["spearman"]["n"] == 3
    assert rank(one)["win_rate"]["spearman"]["n"] == 4


def test_ties_everywhere_have_no_correlation() -> None:
    votes = drawn(60)
    found = rank(votes._replace(points=np.full(60, 0.5)))
    assert found["win_rate"]["spearman"]["value"] is None
    assert found["win_rate"]["pearson"]["value"] is None
    assert [row["rating"]["value"] for row in found["systems"]] == pytest.approx([1000] * 5)


def test_reads_votes(tmp_path: Path) -> None:
    votes = read_votes(written(tmp_path, *ROWS))
    assert votes.systems == ("moon", "sun")
    assert [list(values) for values in votes[1:4]] == [[1, 0, 1], [0, 1, 1], [1.0, 0.5, 0.0]]
    assert votes.both_bad == 1
    assert points_matrix(votes).tolist() == [[0, 0.5], [1.5, 0]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("5,both,sun,moon,1,2", "column preference: 1 rows are not one of A, B, TIE, BOTH_BAD: row 5: 'both'"),
        ("5,,sun,moon,1,2", "column preference: 1 rows are not a value"),
        ("4,A,sun,moon,1,2", "column battle_id: '4' stands in rows 4 and 5"),
        ("5,A,sun,moon,1,nan", "column tj_b: 1 rows are not finite numbers"),
        ("5,A,,moon,1,2", "column system_a: 1 rows are not a value"),
    ],
)
def test_refuses_a_row_by_name(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_votes(written(tmp_path, *ROWS, row))


def test_refuses_missing_columns_and_no_votes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="column: got 'left', accepted are 'battle_id'"):
        read_votes(written(tmp_path, *ROWS), Columns(score_a="left"))
    with pytest.raises(ValueError, match="votes: expected at least one that is not BOTH_BAD"):
        rank(read_votes(written(tmp_path, ROWS[2])))
