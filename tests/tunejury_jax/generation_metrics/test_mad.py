"""MAD: its clusters against those of mauve-text, its presets, its laws."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from tests.oracles.mauve import SEEDS, features
from tunejury_jax.generation_metrics import PRESETS, MadPreset, mad
from tunejury_jax.generation_metrics.clusters import cluster, principal
from tunejury_jax.generation_metrics.mad import Preset
from tunejury_jax.generation_metrics.mauve import mauve

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "mauve.npz", allow_pickle=False)


def blobs(shares: list[float], n: int, seed: int) -> np.ndarray:
    """Clips in groups that no clustering can mistake."""
    generator = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(shares)), (np.array(shares) * n).astype(int))
    return 100 * np.eye(8)[group] + 0.01 * generator.standard_normal((len(group), 8))


@pytest.mark.parametrize("name", ["near", "far"])
def test_over_seeds_it_is_that_of_mauve_text(name: str) -> None:
    """Other k-means, other clusters: the means over seeds agree within what the seeds leave open."""
    found = mad(*features(name), "mad-metric", seeds=40)
    assert found.buckets == GOLDEN[f"{name}_buckets"]
    theirs = -np.log(GOLDEN[f"{name}_by_seed"])
    error = np.sqrt(found.std**2 / 40 + theirs.var(ddof=1) / len(SEEDS))
    assert abs(found.value - theirs.mean()) < 3 * error
    assert 0.5 < found.std / theirs.std(ddof=1) < 2


def test_components_are_those_of_scikit_learn() -> None:
    x, _ = features("near")
    rows = x.astype(np.float64)
    found, whole = principal(rows), PCA().fit(rows)
    held = np.cumsum(whole.explained_variance_ratio_)
    count = int(np.argmax(held >= 0.9)) + 1
    assert found.shape[1] == count
    expected = whole.transform(rows)[:, :count]
    signs = np.sign((found * expected).sum(axis=0))
    assert np.abs(found * signs - expected).max() < 1e-10


def test_groups_that_are_found_for_certain_give_the_closed_form() -> None:
    """Shares (1/2, 1/2) and (1, 0) of two groups: the curve of test_mauve, written out."""
    found = mad(blobs([0.5, 0.5], 24, 0), blobs([1.0, 0.0], 24, 1), seeds=3)
    weights = np.linspace(1e-6, 1 - 1e-6, 25)
    ends = np.r_[0, ((1 + weights) / 2) ** 5, 1], np.r_[1, (1 - weights**2) ** 2.5, 0]
    area = abs(np.trapezoid(*ends))
    assert found.by_seed == pytest.approx([-np.log(area)] * 3, rel=1e-9)
    assert (found.buckets, found.std) == (2, pytest.approx(0, abs=1e-12))


def test_a_set_and_itself_are_at_zero() -> None:
    x, _ = features("near")
    assert mad(x, x).value < 1e-9


def test_laws() -> None:
    x, y = (rows.astype(np.float64) for rows in features("near"))
    found = mad(x, y, seeds=2)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low < found.value < found.high
    assert (found.n, found.n_reference, found.buckets) == (200, 260, 20)
    assert mad(4 * x, y * np.arange(1, 261)[:, None], seeds=2).by_seed == found.by_seed  # directions alone
    assert mad(x, y, seeds=3).by_seed[:2] == found.by_seed


def test_presets_are_the_published_ones() -> None:
    published = {"tunejury": MadPreset("mert", 42), "mad-metric": MadPreset("mert-max", 25)}
    assert published == PRESETS


@pytest.mark.parametrize("preset", ["tunejury", "mad-metric"])
def test_the_first_seed_is_the_presets(preset: Preset) -> None:
    x, y = features("far")
    (labels,) = cluster(x.astype(np.float64), y.astype(np.float64), 20, [PRESETS[preset].seed])
    p, q = (np.bincount(side, minlength=20) / len(side) for side in labels)
    assert mad(x, y, preset, seeds=2).by_seed[0] == pytest.approx(-np.log(mauve(p, q)), rel=1e-12)


def test_clusters_do_not_depend_on_the_number_of_threads() -> None:
    x, y = (np.random.default_rng(seed).standard_normal((300, 64)) for seed in (0, 1))
    found = []
    for threads in (1, 2, 4):
        with threadpool_limits(limits=threads):
            found.append(next(cluster(x, y, 30, [7])))
    assert all(np.array_equal(one, other) for labels in found for one, other in zip(labels, found[0], strict=True))


def test_threads_are_one_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of several threads end in other bits, though seldom in other clusters: so the limit itself is tested."""
    import threadpoolctl
    from sklearn.cluster import KMeans

    seen = []
    fit = KMeans.fit_predict

    def spy(self: KMeans, points: np.ndarray) -> np.ndarray:
        seen.extend(pool["num_threads"] for pool in threadpoolctl.threadpool_info())
        return fit(self, points)

    monkeypatch.setattr(KMeans, "fit_predict", spy)
    with threadpool_limits(limits=2):
        list(cluster(*(rows.astype(np.float64) for rows in features("small")), 2, [0]))
    assert set(seen) == {1}


@pytest.mark.usefixtures("untyped")
def test_bad_input_is_refused() -> None:
    x, y = features("small")
    with pytest.raises(ValueError, match="preset: got 'mad', accepted are 'tunejury', 'mad-metric'"):
        mad(x, y, "mad")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="seeds: got 1, expected at least 2"):
        mad(x, y, seeds=1)
    with pytest.raises(ValueError, match=r"x\[3\]: all zeros, which have no direction"):
        mad(x * (np.arange(12) != 3)[:, None], y)
    with pytest.raises(ValueError, match="expected at least 2 clips that differ, got 1"):
        mad(np.ones((20, 3)), 2 * np.ones((20, 3)))
    with pytest.raises(ValueError, match="one width"):
        mad(x, y[:, 1:])
