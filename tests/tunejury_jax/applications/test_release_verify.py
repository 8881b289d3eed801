"""Two tables compared, against arithmetic by hand and scipy."""

import numpy as np
import pytest
from released_tables import published
from scipy.stats import spearmanr

from tunejury_jax.applications.release.verify import compare
from tunejury_jax.released_scores import read_scores

OLD = {"a": 1.0, "b": 2.0, "c": 3.0, "gone": 0.0}
NEW = {"c": 3.0, "b": 2.5, "a": 0.25, "new": 9.0}


def test_by_hand() -> None:
    compared = compare(OLD, NEW, 0.5)
    assert (compared.common, compared.missing, compared.extra) == (3, ("gone",), ("new",))
    assert (compared.mean_abs, compared.max_abs, compared.spearman) == (1.25 / 3, 0.75, 1.0)
    assert compared.beyond == {"a": -0.75}
    assert not compared.same
    assert list(compare(OLD, NEW, 0.1).beyond) == ["a", "b"]


@pytest.mark.parametrize("change", [{"a": 1.0}, {"gone": None}, {"extra": 1.0}, {"a": 1.0 + 1e-3}])
def test_what_is_the_same(change: dict[str, float | None]) -> None:
    new = {key: value for key, value in {**OLD, **change}.items() if value is not None}
    assert compare(OLD, new).same == (new == OLD)


def test_the_tolerance_itself_is_within() -> None:
    assert compare({"a": 1.0, "b": 2.0}, {"a": 1.5, "b": 2.0}, 0.5).same
    assert not compare({"a": 1.0, "b": 2.0}, {"a": 1.5 + 1e-12, "b": 2.0}, 0.5).same


def test_sides_can_be_swapped() -> None:
    one, other = compare(OLD, NEW, 0.1), compare(NEW, OLD, 0.1)
    assert (one.missing, one.extra) == (other.extra, other.missing)
    assert (one.mean_abs, one.max_abs, one.spearman) == (other.mean_abs, other.max_abs, other.spearman)
    assert {key: -change for key, change in one.beyond.items()} == other.beyond


def test_published_scores_with_noise() -> None:
    old = read_scores(published("sdd"))
    noise = np.random.default_rng(0).normal(0, 0.3, len(old))
    new = {key: value + float(change) for (key, value), change in zip(old.items(), noise, strict=True)}
    compared = compare(old, new, 0.5)
    change = np.array(list(new.values())) - np.array(list(old.values()))
    assert compared.spearman == pytest.approx(spearmanr(list(old.values()), list(new.values())).statistic, abs=1e-12)
    assert len(compared.beyond) == (np.abs(change) > 0.5).sum()
    assert compare(old, dict(reversed(old.items())), 0.0).same


def test_scores_that_are_all_alike_have_no_ranks() -> None:
    assert compare({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 2.0}).spearman is None
    assert compare({"a": 1.0}, {"a": 1.0}).spearman is None


@pytest.mark.parametrize("tolerance", [-1e-9, float("nan")])
def test_a_tolerance_that_is_none_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match=r"tolerance: got .*, accepted are numbers from 0"):
        compare(OLD, NEW, tolerance)


def test_tables_of_different_collections_are_refused() -> None:
    with pytest.raises(ValueError, match="no track is in both; old has 'a', new has 'sdd_1'"):
        compare(OLD, {"sdd_1": 1.0})
