"""Filling a store: planned once, each block once, sealed only when everything verifies."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google_crc32c import value as crc32c
from store_factory import (
    AUDIO,
    FAILED,
    HALF,
    SPECS,
    TEXT,
    edit_json,
    expected_rows,
    fill,
    make_pairs,
    planned,
    snapshot,
)

from tunejury_jax.pairs import Pair
from tunejury_jax.store import EncoderSpec, FeatureStore, StoreError, plan_store, seal_store, write_block

ROWS = np.arange(16, dtype=np.float32).reshape(4, 4)


def test_planning_again_changes_nothing(tmp_path: Path) -> None:
    first = planned(tmp_path)
    before = snapshot(tmp_path)
    again = planned(tmp_path)
    assert again.plan == first.plan
    assert snapshot(tmp_path) == before


def test_planning_a_sealed_store_again_changes_nothing(tmp_path: Path) -> None:
    store = planned(tmp_path)
    fill(store)
    seal_store(store)
    before = snapshot(tmp_path)
    assert planned(tmp_path).sealed
    assert snapshot(tmp_path) == before


def test_other_library_versions_are_no_other_plan(tmp_path: Path) -> None:
    for version in ("1", "2"):
        store = plan_store(str(tmp_path), make_pairs(), SPECS, block_rows=4, environment={"torch": version})
    assert store.plan.environment == {"torch": "1"}


OTHER_CROP = EncoderSpec(AUDIO.block, {**AUDIO.provenance, "path": {"crop": "first"}})
RELABELLED = [replace(pair, label="b") for pair in make_pairs()]


@pytest.mark.parametrize(
    ("pairs", "specs", "block_rows", "difference"),
    [
        (make_pairs(), SPECS, 5, "block_rows: 5, not 4"),
        (make_pairs(11), SPECS, 4, "tables.clip.rows: 11, not 10"),
        (RELABELLED, SPECS, 4, "tables.pair.sha256: '"),
        (make_pairs(), (OTHER_CROP, HALF, TEXT), 4, "encoders.audio.provenance.path.crop: 'first', not 'middle'"),
        (
            make_pairs(),
            (AUDIO, replace(HALF, dtype="float32"), TEXT),
            4,
            "encoders.half.dtype: 'float32', not 'float16'",
        ),
        (make_pairs(), (AUDIO, HALF), 4, "encoders.text: '(nothing)', not {"),
        ([replace(p, source="Beta") for p in make_pairs()], SPECS, 4, "codes.source: ['Beta'], not ['Alpha']"),
    ],
)
def test_another_plan_is_refused_and_told(
    tmp_path: Path, pairs: list[Pair], specs: tuple[EncoderSpec, ...], block_rows: int, difference: str
) -> None:
    planned(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(StoreError, match="holds a store with another plan; asked for ") as refused:
        plan_store(str(tmp_path), pairs, specs, block_rows=block_rows)
    assert difference in str(refused.value)
    assert "environment" not in str(refused.value)
    assert snapshot(tmp_path) == before


def test_no_pairs_are_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="sources: got 0 names, accepted are 1 to 255"):
        plan_store(str(tmp_path), [], SPECS, block_rows=4)
    assert list(tmp_path.iterdir()) == []


def test_too_many_sources_are_refused(tmp_path: Path) -> None:
    pairs = [Pair(str(n), f"S{n}", "a.wav", "b.wav", "a") for n in range(256)]
    with pytest.raises(StoreError, match="sources: got 256 names, accepted are 1 to 255"):
        plan_store(str(tmp_path), pairs, SPECS, block_rows=4)


def test_a_planner_killed_before_the_end_is_repeated(tmp_path: Path) -> None:
    planned(tmp_path / "whole")
    whole = snapshot(tmp_path / "whole")
    for kept in range(len(whole)):  # whatever a killed planner had written, store.json excepted
        left = tmp_path / str(kept)
        for name in [name for name in whole if name != "store.json"][:kept]:
            (left / name).parent.mkdir(parents=True, exist_ok=True)
            (left / name).write_bytes(whole[name])
        with pytest.raises(StoreError, match=r"no store.json: not a feature store, or its planning did not finish"):
            FeatureStore.open(str(left))
        planned(left)
        assert snapshot(left) == whole
        shutil.rmtree(left)


def test_a_block_is_committed_once(tmp_path: Path) -> None:
    store = planned(tmp_path)
    assert write_block(store, "audio", 0, ROWS, {})
    before = snapshot(tmp_path)
    assert not write_block(store, "audio", 0, ROWS + 1, {1: "no such file"})
    assert snapshot(tmp_path) == before


def test_a_commit_says_what_was_written(tmp_path: Path) -> None:
    store = planned(tmp_path)
    write_block(store, "audio", 2, ROWS[:2], {9: "x" * 1000, 8: "truncated"}, {"audio_sha256": ["a", None]})
    commit = json.loads((tmp_path / "commits/audio/00000002.json").read_bytes())
    assert commit == {
        "block": 2,
        "lo": 8,
        "hi": 10,
        "fingerprint": AUDIO.fingerprint,
        "crc32c": crc32c(np.full((2, 4), np.nan, np.float32).tobytes()),
        "failed": {"8": "truncated", "9": "x" * 300},
        "audio_sha256": ["a", None],
    }


def test_the_order_of_blocks_does_not_matter(tmp_path: Path) -> None:
    one, other = planned(tmp_path / "one"), planned(tmp_path / "other")
    for store, step in ((one, 1), (other, -1)):
        for block in range(3)[::step]:
            low, high = store.bounds("audio", block)
            write_block(store, "audio", block, ROWS[: high - low] + block, {})
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "other")


def spoiled(value: float) -> np.ndarray:
    rows = ROWS.astype(np.float64)
    rows[2, 1] = value
    return rows


BAD_BLOCKS: list[tuple[str, int, Any, dict[int, str], str]] = [
    ("audio", 0, ROWS[:3], {}, "audio, block 0: got rows of (3, 4), expected (4, 4)"),
    ("audio", 2, ROWS, {}, "audio, block 2: got rows of (4, 4), expected (2, 4)"),
    ("audio", 0, ROWS[:, :3], {}, "audio, block 0: got rows of (4, 3), expected (4, 4)"),
    ("audio", 3, ROWS, {}, "audio: has no block 3, it has 3"),
    ("audio", -1, ROWS, {}, "audio: has no block -1, it has 3"),
    ("audio", 1, spoiled(np.nan), {}, "audio, block 1: rows [6] are not finite as float32"),
    ("audio", 1, spoiled(np.inf), {4: "x"}, "audio, block 1: rows [6] are not finite as float32"),
    ("audio", 1, spoiled(1e300), {}, "audio, block 1: rows [6] are not finite as float32"),
    ("half", 1, spoiled(65520)[:, :3], {}, "half, block 1: rows [6] are not finite as float16"),
    ("half", 1, spoiled(-1e30)[:, :3], {}, "half, block 1: rows [6] are not finite as float16"),
    ("audio", 1, ROWS, {3: "x"}, "audio, block 1: failed rows [3] are not among 4 to 7"),
    ("audio", 2, ROWS[:2], {7: "x", 10: "y"}, "audio, block 2: failed rows [7, 10] are not among 8 to 9"),
    ("adio", 0, ROWS, {}, "encoder: got 'adio', accepted are 'audio', 'half', 'text'"),
]


@pytest.mark.parametrize(("encoder", "block", "rows", "failed", "message"), BAD_BLOCKS)
def test_a_block_that_is_none_is_refused(
    tmp_path: Path, encoder: str, block: int, rows: Any, failed: dict[int, str], message: str
) -> None:
    store = planned(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        write_block(store, encoder, block, rows, failed)
    assert snapshot(tmp_path) == before


def test_the_largest_float16_is_written(tmp_path: Path) -> None:
    assert write_block(planned(tmp_path), "half", 0, spoiled(65504)[:, :3], {})


def test_what_stands_in_a_failed_row_is_not_kept(tmp_path: Path) -> None:
    for number, value in enumerate((np.nan, np.inf, 7.0)):
        write_block(planned(tmp_path / str(number)), "audio", 1, spoiled(value), {6: "truncated"})
    assert snapshot(tmp_path / "0") == snapshot(tmp_path / "1") == snapshot(tmp_path / "2")


def test_a_seal_says_what_is_there(tmp_path: Path) -> None:
    store = planned(tmp_path)
    fill(store)
    seal = seal_store(store)
    assert json.loads((tmp_path / "SEALED.json").read_bytes()) == seal
    assert {name: found["rows"] for name, found in seal["encoders"].items()} == {"audio": 10, "half": 10, "text": 3}
    assert seal["encoders"]["half"]["failed_rows"] == list(FAILED)
    assert seal["encoders"]["text"]["failed_rows"] == []


def test_sealing_again_changes_nothing(tmp_path: Path) -> None:
    store = planned(tmp_path)
    fill(store)
    seal = seal_store(store)
    before = snapshot(tmp_path)
    assert seal_store(store) == seal
    assert snapshot(tmp_path) == before


def test_a_store_with_blocks_left_is_not_sealed(tmp_path: Path) -> None:
    store = planned(tmp_path)
    fill(store)
    (tmp_path / "commits/half/00000001.json").unlink()
    with pytest.raises(StoreError, match="half: 1 of 3 blocks are not committed"):
        seal_store(store)
    assert not store.sealed


def test_a_block_that_does_not_verify_is_not_sealed_and_can_be_written_again(tmp_path: Path) -> None:
    store = planned(tmp_path)
    fill(store)
    edit_json(tmp_path / "commits/audio/00000001.json", lambda commit: commit.update(crc32c=commit["crc32c"] ^ 1))
    with pytest.raises(
        StoreError, match="audio, block 1: data does not match its commit; delete the commit and encode"
    ):
        seal_store(store)
    assert not store.sealed
    (tmp_path / "commits/audio/00000001.json").unlink()
    fill(store)
    seal_store(store)
    np.testing.assert_array_equal(store.load("audio").values, expected_rows(store, "audio"))


@pytest.mark.parametrize("table", ["clips", "prompts", "pairs"])
def test_a_store_with_other_tables_is_not_sealed(tmp_path: Path, table: str) -> None:
    """As two planners of different pairs would leave it, started at the same time on one place."""
    store, other = planned(tmp_path / "one"), tmp_path / "other"
    plan_store(
        str(other),
        [replace(p, source="Beta", prompt=f"{p.id}", system_a="two") for p in make_pairs()],
        SPECS,
        block_rows=4,
    )
    fill(store)
    shutil.copy(other / f"tables/{table}-00000.parquet", tmp_path / f"one/tables/{table}-00000.parquet")
    with pytest.raises(StoreError, match=rf"holds other tables than were planned: tables\.{table[:-1]}: TableSpec"):
        seal_store(store)
    assert not store.sealed
