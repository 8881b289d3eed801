"""The sweep benchmark runs from end to end, and counts what it says it counts."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import measure
from benchmarks.compaction import LADDERS, Compaction, cost
from benchmarks.members import Members
from benchmarks.overhead import Overhead
from benchmarks.paper_runs import PaperRuns, measure_paper
from benchmarks.recording import Calls, EpochCost, by_size
from benchmarks.stopwatch import Stopwatch
from benchmarks.sweep import PARTS, Sweep, main
from trainers.executors import lanes_for

MEMBERS = Members(counts=(1, 2, 1 << 40), pairs=32, rounds=1, widths=(4,))
COMPACTION = Compaction(heads=9, pairs=40, max_epochs=6, patience=1)  # so many that an eighth is two lanes
OVERHEAD = Overhead(pairs=40, widths="4", trials=4, population=2, max_epochs=3, save_every_s=0.0)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("root")
    (root / "benchmarks" / "results").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "ROOT", root)
        main(Sweep(PARTS, MEMBERS, COMPACTION, OVERHEAD))
    return json.loads((root / "benchmarks" / "results" / "sweep.json").read_text())


slow = pytest.mark.slow(reason="makes the data of the paper's size and compiles several epochs")


@slow
def test_a_member_epoch_is_timed_for_both_executors_and_all_counts_that_fit(result: dict[str, Any]) -> None:
    assert result["member_epoch_s"].keys() == {"sequential", "stacked"}
    for rows in result["member_epoch_s"].values():
        assert rows.keys() == {"1", "2"}
        assert all(0 < row["best"] <= row["median"] for row in rows.values())
    assert "one after another" in result["members"]["meaning"]
    assert result["members"]["left_out"].keys() == {str(1 << 40)}
    assert (result["members"]["train_pairs"], result["members"]["valid_pairs"]) == (32, 4)
    assert result["member_bytes"]["reckoned"] > 0


@slow
def test_counted_waste_is_that_of_the_ladder_that_is_used(result: dict[str, Any]) -> None:
    assert result["compaction_waste"].keys() == {"hyper-parameters", "seeds"}
    for name, found in result["compaction"]["populations"].items():
        assert result["compaction_waste"][name] == pytest.approx(found["ladders"]["eighths of the population"]["waste"])
        assert len(found["stopped_after"]) == 9
        assert found["sizes"].keys() <= {"10", "8", "6", "4", "2", "1"}
        assert found["sizes"].keys() > {"10"}
        assert found["waste"] < found["ladders"]["powers of two"]["waste"]
        assert found["waste"] <= found["waste_without_compaction"]


@slow
def test_the_parts_of_the_overhead_add_up(result: dict[str, Any]) -> None:
    found = result["overhead"]
    parts, share = found["parts"], result["overhead_share"]
    assert 0 < share < 1
    assert sum(part["share"] for part in parts.values()) == pytest.approx(share)
    overhead_s = found["total_s"] - found["epochs_s"] - sum(found["compile_s"].values())
    assert sum(part["seconds"] for part in parts.values()) == pytest.approx(overhead_s)
    calls = {name: part["calls"] for name, part in parts.items()}
    assert (calls["ask"], calls["tell"], calls["kept.add"], calls["init_member"]) == (3, 4, 4, 4)
    assert calls["log_epoch"] == 4 * 3
    assert calls["saves.save"] >= 1


@slow
def test_the_papers_trainings_are_not_run_on_a_cpu(result: dict[str, Any]) -> None:
    assert result["backend"] == "cpu"
    assert result["paper"].startswith("not run")


@slow
def test_the_papers_trainings_would_run() -> None:
    found = measure_paper(PaperRuns(seeds=1, max_epochs=1, recipe_epochs=1, scale=0.004))["paper"]
    assert (found["recipe"]["epochs"], found["preset"]["heads"], found["preset"]["head_epochs"]) == (1, 17, 17)
    assert found["recipe"]["seconds"] > 0
    assert found["preset"]["seconds"] > 0


@slow
def test_a_part_alone_has_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    main(Sweep(("paper",)))
    assert json.loads((tmp_path / "benchmarks" / "results" / "sweep_paper.json").read_text())["paper"]


def test_waste_is_lanes_computed_over_lanes_needed() -> None:
    # Five heads: 8 lanes for 2 epochs, then 2 heads on 2 lanes for 1, then 1 head alone for 3; 5 + 5 + 2 + 3 needed.
    assert cost([2, 2, 2, 3, 6], LADDERS["powers of two"]) == (21 / 15, 3)
    # And nine heads: 10 lanes for 1 epoch, then 6 on 6 and 3 on 4, where powers of two are 16, 8 and 4.
    assert cost([1] * 3 + [2] * 3 + [3] * 3, LADDERS["eighths of the population"]) == (20 / 18, 3)
    assert cost([1] * 3 + [2] * 3 + [3] * 3, LADDERS["powers of two"]) == (28 / 18, 3)
    assert cost([2, 2, 2, 3, 6], LADDERS["every size"]) == (1, 3)
    assert cost([2, 2, 2, 3, 6], LADDERS["never cut down"]) == (30 / 15, 1)


@pytest.mark.parametrize(
    ("name", "population", "sizes"),
    [
        ("never cut down", 20, {20}),
        ("powers of two", 20, {1, 2, 4, 8, 16, 32}),
        ("powers of two and halfway between", 32, {1, 2, 3, 4, 6, 8, 12, 16, 24, 32}),
        ("powers of two and quarters between", 20, {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20}),
        ("quarters of the population", 32, {1, 2, 4, 8, 16, 24, 32}),
        ("eighths of the population", 32, {1, 2, 4, 8, 12, 16, 20, 24, 28, 32}),
        ("eighths of the population", 20, {1, 2, 3, 6, 9, 12, 15, 18, 21}),
        ("every size", 20, {*range(1, 21)}),
    ],
)
def test_a_ladder_has_its_sizes_and_room_for_all(name: str, population: int, sizes: set[int]) -> None:
    lanes = [LADDERS[name](population, members) for members in range(1, population + 1)]
    assert {*lanes} == sizes
    assert all(size >= members for members, size in enumerate(lanes, start=1))


@pytest.mark.parametrize("population", [*range(1, 41), 63, 64, 65, 100])
def test_the_ladder_that_is_used_is_that_of_eighths(population: int) -> None:
    ladder, left = LADDERS["eighths of the population"], range(1, population + 1)
    assert [ladder(population, members) for members in left] == [lanes_for(members, population, 1) for members in left]


def test_the_first_epoch_of_a_size_tells_what_compiling_took() -> None:
    epochs = [EpochCost(*cost) for cost in ((4, 9.0), (4, 2.0), (4, 2.5), (4, 3.0), (1, 1.0))]
    assert by_size(epochs) == {4: Calls(4, 9.0, 2.5), 1: Calls(1, 1.0, 1.0)}
    assert [calls.compile_s for calls in by_size(epochs).values()] == [6.5, 0.0]


class Machine:
    """Has a function that calls another."""

    def outer(self) -> int:
        return self.inner() + 1

    def inner(self) -> int:
        return 1


def test_what_a_timed_function_calls_counts_as_part_of_it() -> None:
    watch, machine = Stopwatch(), Machine()
    with watch.watching({"outer": (Machine, "outer"), "inner": (Machine, "inner")}):
        assert (machine.outer(), machine.inner()) == (2, 1)
    assert {name: len(calls) for name, calls in watch.calls.items()} == {"outer": 1, "inner": 1}
    machine.outer()
    assert len(watch.calls["outer"]) == 1


@pytest.mark.parametrize("field", [{"rounds": 0}, {"counts": (8, 1)}, {"counts": ()}, {"pairs": 31}])
def test_what_cannot_be_measured_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected|accepted are"):
        Members(**field)
