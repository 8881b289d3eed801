"""The decomposition probe: planted answers, splits that leak nothing, and the network against its rules."""

from pathlib import Path

import jax
import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from tunejury_jax.evaluation import decomposition, estimates, regressor
from tunejury_jax.evaluation.decomposition import (
    Clips,
    cross_distribution,
    partial_spearman,
    post_hoc,
    read_clips,
    scaling,
    stratified,
    stratified_split,
)
from tunejury_jax.evaluation.regressor import Network, predict_ratings


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "REDRAWS", 10)
    monkeypatch.setattr(regressor, "HIDDEN", 16)
    monkeypatch.setattr(regressor, "EPOCHS", 80)
    monkeypatch.setattr(regressor, "LEARNING_RATE", 0.01)


def drawn(n: int = 200, seed: int = 0) -> Clips:
    """Musicality and alignment are related; features hold both, the score without prompt musicality alone."""
    generator = np.random.default_rng(seed)
    musicality = generator.normal(3, 1, n)
    alignment = 0.5 * musicality + generator.normal(1.5, 1, n)
    features = generator.normal(size=(n, 6)).astype(np.float32)
    features[:, :2] = np.stack([musicality, alignment], 1) + 0.3 * features[:, :2]
    score_empty = musicality + generator.normal(0, 0.2, n)
    score = score_empty + 0.5 * (alignment - 0.5 * musicality)
    return Clips(("PAM", "MusicEval"), np.arange(n) % 2, musicality, alignment, score, score_empty, features)


def test_post_hoc_against_scipy() -> None:
    clips = drawn()
    found = post_hoc(clips)
    own = clips.dataset == 1
    expected = scipy.stats.spearmanr((clips.score - clips.score_empty)[own], clips.alignment[own]).statistic
    assert found["MusicEval"]["difference and alignment"]["value"] == pytest.approx(expected)
    assert found["PAM"]["score_empty and musicality"]["value"] > 0.9
    assert abs(found["PAM"]["difference and musicality"]["value"]) < 0.3
    assert len(found["PAM"]) == 6


def test_the_network_finds_what_is_planted() -> None:
    clips = drawn()
    for value in cross_distribution(clips).values():
        assert value is not None
        assert value > 0.8
    found = stratified(clips, seeds=3)
    assert found["alignment"]["mean"] > 0.8
    assert found["partial"]["mean"] > 0.7
    assert found["residual"]["mean"] > 0.7
    assert found["alignment"]["low"] < found["alignment"]["mean"] < found["alignment"]["high"]
    assert len(found["alignment"]["values"]) == 3


def test_features_without_alignment_find_none_beyond_musicality() -> None:
    clips = drawn(400)
    assert clips.features is not None
    clips.features[:, 1:] = np.random.default_rng(5).normal(size=(400, 5))
    found = stratified(clips, seeds=2)
    assert abs(found["residual"]["mean"]) < 0.25
    assert abs(found["partial"]["mean"]) < 0.25


def test_more_clips_help() -> None:
    few, many = scaling(drawn(), seeds=2, fractions=(0.05, 1.0))
    assert (few["n_train"], many["n_train"]) == (10, 160)
    assert few["alignment"]["mean"] < many["alignment"]["mean"]


@pytest.mark.parametrize("seed", range(3))
def test_splits_part_the_rows_evenly(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=100)
    first, second = stratified_split(values, 0.8, seed)
    assert_array_equal(np.sort(np.concatenate([first, second])), np.arange(100))
    assert (len(first), len(second)) == (80, 20)
    assert np.histogram(values[second], np.quantile(values, [0, 0.2, 0.4, 0.6, 0.8, 1]))[0].tolist() == [4] * 5
    again, _ = stratified_split(values, 0.8, seed)
    assert_array_equal(again, first)


def test_test_ratings_are_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def record(train, validation, x, seed):
        seen.append((train[1], validation[1], len(x)))
        return np.arange(float(len(x)))

    monkeypatch.setattr(decomposition, "predict_ratings", record)
    clips = drawn(100)
    stratified(clips, seeds=1)
    for train, validation, tested in seen:
        assert (len(train), len(validation), tested) == (60, 20, 20)  # each stratum of 16 gives 12
        assert not set(train) & set(validation)
    held_out = stratified_split(clips.alignment, 0.8, 0)[1]
    assert not set(np.concatenate(seen[0][:2])) & set(clips.alignment[held_out])


def test_partial_coefficient_against_residuals_of_ranks() -> None:
    x, y, z = np.random.default_rng(0).normal(size=(3, 200)).round(1)
    x, y = x + z, y + z
    ranks = [scipy.stats.rankdata(values) for values in (x, y, z)]
    left = [values - np.polyval(np.polyfit(ranks[2], values, 1), ranks[2]) for values in ranks[:2]]
    assert partial_spearman(x, y, z) == pytest.approx(scipy.stats.pearsonr(*left).statistic, rel=1e-9)
    assert partial_spearman(x, y, np.ones(200)) is None
    assert partial_spearman(x, y, x) is None


def test_the_epoch_is_chosen_on_the_validation_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratings that contradict the training part: every step makes them worse, so the first epoch is kept."""
    x = np.random.default_rng(0).normal(size=(64, 4))
    part, contrary = (x, 10 * x[:, 0]), (x, -10 * x[:, 0])
    kept = predict_ratings(part, contrary, x)
    monkeypatch.setattr(regressor, "EPOCHS", 1)
    assert_allclose(predict_ratings(part, contrary, x), kept, rtol=1e-5)
    monkeypatch.setattr(regressor, "EPOCHS", 80)
    learned = predict_ratings(part, part, x)
    assert np.square(learned - part[1]).mean() < np.square(kept - part[1]).mean()


def test_the_network_has_the_size_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regressor, "HIDDEN", 512)
    x = np.zeros((1, 2048), np.float32)
    shapes = jax.eval_shape(lambda x: Network().init(jax.random.key(0), x, train=False), x)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 2048 * 512 + 512 + 512 * 512 + 512 + 512 + 1


def test_the_seed_alone_decides() -> None:
    clips = drawn(60)
    assert cross_distribution(clips) == cross_distribution(clips)
    assert cross_distribution(clips) != cross_distribution(clips, seed=1)


def test_reads_tables_and_features(tmp_path: Path) -> None:
    table, features = tmp_path / "clips.csv", tmp_path / "features.npy"
    table.write_text("score,score_empty,dataset,musicality,alignment\n1,0.5,PAM,3,4\n2,1,PAM,2,2\n")
    np.save(features, np.eye(2, 5, dtype=np.float32))
    clips = read_clips(table, features)
    assert (clips.datasets, clips.score.tolist()) == (("PAM",), [1.0, 2.0])
    assert clips.features is not None
    assert clips.features.shape == (2, 5)
    assert read_clips(table).features is None
    with pytest.raises(ValueError, match="clips: expected at least 10 to train on, got 0"):
        stratified(clips, seeds=1)
    with pytest.raises(ValueError, match="features: expected some, got none"):
        stratified(read_clips(table), seeds=1)
    for bad, message in (
        (np.eye(3), r"got float64 of shape \(3, 3\), expected floats of shape \(2, dim\)"),
        (np.array([[1.0, np.nan], [0.0, 1.0]]), "row 0 is not finite"),
        (np.array([["a"], ["b"]]), r"got <U1 of shape \(2, 1\)"),
    ):
        np.save(features, bad)
        with pytest.raises(ValueError, match=message):
            read_clips(table, features)
    features.write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"not a \.npy file"):
        read_clips(table, features)
