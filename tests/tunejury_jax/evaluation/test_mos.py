"""Scores against ratings: the pieces are tested elsewhere; here that they are put together rightly, at any size."""

import itertools
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from tunejury_jax.evaluation import estimates
from tunejury_jax.evaluation.mos import RatedClips, judge, read_rated


def drawn(n: int) -> RatedClips:
    generator = np.random.default_rng(0)
    ratings = generator.integers(2, 11, n) / 2
    return RatedClips((ratings + generator.normal(0, 2, n)).round(1), ratings)


def written(tmp_path: Path, clips: RatedClips) -> Path:
    path = tmp_path / "clips.csv"
    rows = zip(*(values.tolist() for values in clips), strict=True)
    path.write_text("clip,rating,score\n" + "".join(f"clip {n},{r},{s}\n" for n, (s, r) in enumerate(rows)))
    return path


def test_against_scipy_and_brute_force(tmp_path: Path) -> None:
    clips = drawn(120)
    found = judge(read_rated(written(tmp_path, clips)))
    for name, oracle in {"srcc": "spearmanr", "lcc": "pearsonr", "ktau": "kendalltau"}.items():
        assert found[name]["value"] == pytest.approx(getattr(scipy.stats, oracle)(*clips).statistic, rel=1e-12)
    pairs = list(itertools.combinations(range(120), 2))
    products = np.array(
        [np.sign((clips.scores[i] - clips.scores[j]) * (clips.ratings[i] - clips.ratings[j])) for i, j in pairs]
    )
    rated = np.array([clips.ratings[i] != clips.ratings[j] for i, j in pairs])
    assert found["pairs"] == {
        "right": (products > 0).sum(),
        "wrong": (products < 0).sum(),
        "equal scores": (rated & (products == 0)).sum(),
        "equal ratings": (~rated).sum(),
    }
    accuracy = found["pairwise_accuracy"]
    assert accuracy["value"] == pytest.approx((products[rated] + 1).mean() / 2, rel=1e-12)
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert found["clips"] == 120


def test_all_ratings_or_all_scores_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "REDRAWS", 5)
    cases = (RatedClips(np.arange(4.0), np.ones(4)), None), (RatedClips(np.ones(4), np.arange(4.0)), 0.5)
    for clips, accuracy in cases:
        found = judge(clips)
        assert [found[name]["value"] for name in ("srcc", "lcc", "ktau")] == [None] * 3
        assert found["pairwise_accuracy"]["value"] == accuracy
    assert found["pairs"]["equal scores"] == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,score,rating\na,1,2\na,2,3\n", "column clip: 'a' stands in rows 1 and 2"),
        ("clip,score,rating\na,nan,2\n", "column score: 1 rows are not finite numbers: row 1: 'nan'"),
        ("clip,score,mos\na,1,2\n", "column: got 'rating', accepted are 'clip', 'score', 'mos'"),
    ],
)
def test_refuses_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "clips.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_rated(path)


@pytest.mark.slow
def test_a_million_clips_take_bounded_time(tmp_path: Path) -> None:
    path = written(tmp_path, drawn(1_000_000))
    started = time.monotonic()
    found = judge(read_rated(path))
    assert time.monotonic() - started < 120  # 20 s on two idle cores
    assert found["clips"] == 1_000_000
    assert sum(found["pairs"].values()) == 1_000_000 * 999_999 // 2
    assert {found[name]["interval"] for name in ("srcc", "lcc", "ktau", "pairwise_accuracy")} == {"batches"}
