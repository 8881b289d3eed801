"""Percentiles within released scores, against scipy's on the whole collection."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from closeness import assert_close
from released_tables import published, write_scores
from scipy.stats import percentileofscore

from tunejury_jax.cli import main
from tunejury_jax.percentiles import Distribution, Percentiles
from tunejury_jax.released_scores import read_scores, record_path

SIZES = (1, 2, 3, 706, 999, 1000, 1001, 1500, 25_860)


def scores(n: int, seed: int = 0, digits: int = 9) -> np.ndarray:
    """Normal draws; few digits make many of them equal."""
    return np.random.default_rng(seed).normal(-0.5, 1.3, n).round(digits)


def asked(values: np.ndarray) -> list[float]:
    """Rewards at, beside and far from the scores."""
    chosen = np.random.default_rng(1).choice(values, 40)
    near = [np.nextafter(chosen, side) for side in (-np.inf, np.inf)]
    return [*map(float, np.concatenate([chosen, *near])), float(values.min()), float(values.max()), -1e9, 1e9]


@pytest.mark.parametrize("digits", [9, 1, 0])
@pytest.mark.parametrize("n", SIZES)
def test_percentiles_are_scipys_within_the_stated_bound(n: int, digits: int) -> None:
    values = scores(n, digits=digits)
    table = Distribution.of_scores(values)
    bound = 1e-9 if n <= 1000 else 0.05 + 1e-9
    for reward in asked(values):
        assert abs(table.percentile(reward) - percentileofscore(values, reward, kind="mean")) <= bound


@pytest.mark.parametrize("n", [1, 7, 1000])
def test_the_kth_order_statistic_stands_at_its_mid_rank(n: int) -> None:
    table = Distribution.of_scores(np.arange(n, dtype=np.float64))
    found = [table.percentile(float(k)) for k in range(n)]
    assert_close(np.array(found), 100 * (np.arange(n) + 0.5) / n)


def test_laws() -> None:
    values = scores(5000)
    table = Distribution.of_scores(values)
    rewards = np.sort(asked(values))
    found = np.array([table.percentile(float(reward)) for reward in rewards])
    assert (np.diff(found) >= 0).all()
    assert (found[0], found[-1]) == (0, 100)
    mirrored = Distribution.of_scores(-values)
    assert_close(np.array([mirrored.percentile(float(-reward)) for reward in rewards]), 100 - found, 0.05 + 1e-9)
    shifted = Distribution.of_scores(2 * values + 3)
    assert_close(np.array([shifted.percentile(float(2 * reward + 3)) for reward in rewards]), found, 0.05)
    shuffled = np.random.default_rng(2).permutation(values)
    np.testing.assert_array_equal(Distribution.of_scores(shuffled).kept, table.kept)


def test_equal_scores_share_the_middle() -> None:
    table = Distribution.of_scores(np.full(5000, 2.0))
    assert [table.percentile(reward) for reward in (1.9, 2.0, 2.1)] == [0, 50, 100]


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    sizes = {"fma_large_scores_rescored": 3000, "sdd_scores": 400, "mine": 5}
    return [
        write_scores(tmp_path / f"{name}.csv", {f"t{row}": float(value) for row, value in enumerate(scores(n, seed=n))})
        for name, n in sizes.items()
    ]


def test_collections_are_called_as_their_files(tables: list[Path]) -> None:
    built = Percentiles.build(tables)
    assert list(built.collections) == ["fma_large", "sdd", "mine"]
    for name, path in zip(built.collections, tables, strict=True):
        values, table = np.array(list(read_scores(path).values())), built.collections[name]
        assert (table.n, len(table.kept), table.checkpoint) == (len(values), min(len(values), 1000), None)
        assert_close(np.array([table.mean, table.std]), [values.mean(), values.std()])


def test_all_collections_are_the_union_of_their_tracks(tables: list[Path]) -> None:
    built = Percentiles.build(tables)
    union = np.concatenate([list(read_scores(path).values()) for path in tables])
    for reward in asked(union):
        assert abs(built.of(reward) - percentileofscore(union, reward, kind="mean")) <= 0.05
        assert built.of(reward, "sdd") == built.collections["sdd"].percentile(reward)


def test_a_table_is_read_as_it_was_saved(tables: list[Path], tmp_path: Path) -> None:
    built = Percentiles.build(tables)
    built.save(tmp_path / "table.json")
    loaded = Percentiles.load(tmp_path / "table.json")
    for name, table in built.collections.items():
        np.testing.assert_array_equal(loaded.collections[name].kept, table.kept)
        assert {**vars(loaded.collections[name]), "kept": 0} == {**vars(table), "kept": 0}
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "table.json").read_bytes()


@pytest.mark.parametrize("name", ["sdd", "musiccaps"])
def test_published_scores(name: str, tmp_path: Path) -> None:
    path = published(name)
    Percentiles.build([path]).save(tmp_path / "table.json")
    loaded, values = Percentiles.load(tmp_path / "table.json"), np.array(list(read_scores(path).values()))
    for reward in asked(values):
        assert abs(loaded.of(reward, name) - percentileofscore(values, reward, kind="mean")) <= 0.05 + 1e-9


def test_scores_of_another_head_are_refused(tables: list[Path]) -> None:
    record_path(tables[1]).write_text(json.dumps({"checkpoint": "a" * 64}))
    built = Percentiles.build(tables)
    built.require_checkpoint("a" * 64)
    with pytest.raises(ValueError, match="percentiles: sdd was scored by head aaaaaaaaaaaa, not bbbbbbbbbbbb"):
        built.require_checkpoint("b" * 64)
    record_path(tables[2]).write_text(json.dumps({"checkpoint": "b" * 64}))
    with pytest.raises(ValueError, match="collections: were scored by 2 heads, whose scores cannot be compared"):
        Percentiles.build(tables)


@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_a_reward_that_is_not_finite_is_refused(reward: float) -> None:
    with pytest.raises(ValueError, match=r"reward: got .*, expected a finite number"):
        Distribution.of_scores(scores(5)).percentile(reward)


def test_unknown_and_double_collections_are_refused(tables: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"collection: got 'sddd', accepted are .*did you mean 'sdd'"):
        Percentiles.build(tables).of(0.0, "sddd")
    (tmp_path / "other").mkdir()
    twice = write_scores(tmp_path / "other" / "sdd_scores.csv", {"a": 1.0})
    with pytest.raises(ValueError, match="there is a table of collection 'sdd' already"):
        Percentiles.build([*tables, twice])
    with pytest.raises(ValueError, match="collections: got none"):
        Percentiles.build([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.update(version=2), "not a table of tunejury-percentiles version 1; make one"),
        (lambda table: table.update(collections=[]), "collections: expected an object"),
        (lambda table: table["collections"]["sdd"].pop("kept"), "sdd: damaged: KeyError"),
        (lambda table: table["collections"]["sdd"]["kept"].reverse(), "sdd: damaged: .*ascending"),
        (
            lambda table: table["collections"]["sdd"]["kept"].pop(),
            "kept: expected 400 finite scores of 400, .* got 399",
        ),
        (lambda table: table["collections"]["sdd"].update(n=0), "sdd: damaged"),
        (lambda table: table["collections"]["sdd"].update(n=1e999), "sdd: damaged"),
        (lambda table: table["collections"]["sdd"]["kept"].__setitem__(399, float("nan")), "expected 400 finite"),
        (lambda table: table["collections"].update(sdd=3), "sdd: damaged: TypeError"),
    ],
)
def test_a_damaged_table_is_refused(
    tables: list[Path], tmp_path: Path, change: Callable[[dict], object], message: str
) -> None:
    path = tmp_path / "table.json"
    Percentiles.build(tables).save(path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=message):
        Percentiles.load(path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[object, str]]:
    def run(*arguments: object) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["tunejury", "percentiles", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, " ".join(capsys.readouterr().out.split())

    return run


def test_the_commands(run: Callable[..., tuple[object, str]], tables: list[Path], tmp_path: Path) -> None:
    out, built = tmp_path / "table.json", Percentiles.build(tables)
    status, printed = run("build", *tables, "--out", out)
    assert status == 0
    assert all(word in printed for word in ("fma_large", "3,000", "not known", f"Written: {out}"))
    status, printed = run("of", out, "-0.5", "1e9")
    assert status == 0
    expected = [f"{built.of(-0.5, name):.1f}" for name in (*built.collections, None)]
    assert f"-0.5000 │ {' │ '.join(expected)} │" in printed
    assert printed.count("100.0") == 4
