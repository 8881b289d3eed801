"""The scale benchmark runs from end to end; its simulation agrees with closed forms."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from benchmarks import measure
from benchmarks.fleet import Fleet, expected_block_s, simulate
from benchmarks.store_scale import StoreScale, main

LONG_LIFE = Fleet(workers=1, blocks=20_000, block_s=10.0, mean_life_s=1000.0, restart_s=3.0)


@pytest.mark.parametrize("shared_queue", [True, False])
def test_a_fleet_that_never_dies(shared_queue: bool) -> None:
    fleet = Fleet(4, 10, 5.0, math.inf, 2.0, shared_queue)
    assert simulate(fleet) == (3 * 5.0 + 2.0, 0, 0.0, 50 / (4 * 17))


def test_a_death_costs_half_a_block_and_a_restart() -> None:
    """Where blocks are short against a life; each figure within four standard errors."""
    outcome = simulate(LONG_LIFE)
    expected = LONG_LIFE.blocks * LONG_LIFE.block_s / LONG_LIFE.mean_life_s
    assert outcome.deaths == pytest.approx(expected, rel=4 / math.sqrt(expected))
    assert outcome.lost_s / outcome.deaths == pytest.approx(5.0, rel=4 / math.sqrt(12 * outcome.deaths) / 0.5)
    spent = LONG_LIFE.blocks * 10.0 + outcome.lost_s + (outcome.deaths + 1) * 3.0
    assert outcome.seconds == pytest.approx(spent)
    assert outcome.efficiency == pytest.approx(LONG_LIFE.blocks * 10.0 / spent)


@pytest.mark.parametrize("mean_life_s", [5.0, 10.0, 50.0, 1000.0])
def test_the_mean_time_of_a_block_is_the_closed_form(mean_life_s: float) -> None:
    fleet = replace(LONG_LIFE, mean_life_s=mean_life_s)
    assert simulate(fleet).seconds / fleet.blocks == pytest.approx(expected_block_s(fleet), rel=0.03)


def test_workers_share_the_work() -> None:
    alone, together = replace(LONG_LIFE, blocks=2000), replace(LONG_LIFE, blocks=2000, workers=8)
    seconds = [[simulate(fleet, seed).seconds for seed in range(5)] for fleet in (alone, together)]
    assert sum(seconds[0]) / sum(seconds[1]) == pytest.approx(8, rel=0.03)


def test_a_shared_queue_ends_before_shards() -> None:
    """Shards wait for the one worker that died most."""
    fleet = Fleet(32, 320, 100.0, 1000.0, 100.0)
    pooled, fixed = ([simulate(replace(fleet, shared_queue=q), s).seconds for s in range(20)] for q in (True, False))
    assert sum(pooled) < sum(fixed)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("root")
    (root / "benchmarks" / "results").mkdir(parents=True)
    config = StoreScale((4, 8), ("float32", "float16"), 8, 3, 20, 50_000, 16, (1, 8), (1.0, 24.0), seeds=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "ROOT", root)
        main(config)
    return json.loads((root / "benchmarks" / "results" / "store_scale.json").read_text())


slow = pytest.mark.slow(reason="starts a process that loads a store with JAX")


@slow
def test_a_block_of_every_kind_is_timed(result: dict[str, Any]) -> None:
    rows = result["block_costs_s"]
    assert [(row["block_rows"], row["dtype"]) for row in rows] == [
        (size, dtype) for size in (4, 8) for dtype in ("float32", "float16")
    ]
    for row in rows:
        assert row["bytes"] == row["block_rows"] * 8 * {"float32": 4, "float16": 2}[row["dtype"]]
        assert all(row[name] > 0 for name in ("write_and_commit", "commit", "verify", "load"))
    assert result["listing_s"]["commits"] == 20


@slow
def test_memory_is_that_of_the_data_and_more(result: dict[str, Any]) -> None:
    streaming = result["streaming"]
    assert streaming["data_gib"] == 50_000 * 16 * 2 / 2**30
    assert streaming["peak_gib"] >= streaming["process_before_gib"] > 0
    assert streaming["beyond_the_data_gib"] == pytest.approx(streaming["peak_gib"] - streaming["data_gib"])


@slow
def test_simulated_exports_are_those_expected(result: dict[str, Any]) -> None:
    assert [(row["workers"], row["mean_life_h"]) for row in result["fleets"]] == [(1, 1), (1, 24), (8, 1), (8, 24)]
    for row in result["fleets"]:
        assert row["seconds"] == pytest.approx(row["expected_s"], rel=0.02)
        assert row["efficiency"] == pytest.approx(12_208 * row["block_s"] / (row["workers"] * row["seconds"]), rel=0.01)
