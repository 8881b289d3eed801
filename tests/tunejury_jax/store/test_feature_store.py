"""Reading a store: the same bits that were written, or an error that says what is wrong and what is left to do."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_factory import AUDIO, FAILED, HALF, edit_json, expected_rows, fill, make_pairs, planned, sealed

from tunejury_jax.store import FeatureStore, StoreError, plan_store, seal_store, write_block
from tunejury_jax.store.arrays import open_array, pair_arrays, read_array
from tunejury_jax.store.tables import Tables

SHAPES = [(1, 1, 1), (4, 10, 3), (5, 10, 3), (3, 10, 0), (16, 10, 3), (1, 10, 3), (1024, 10, 11), (10, 10, 10)]


@pytest.mark.parametrize(("block_rows", "clips", "prompts"), SHAPES)
def test_reading_gives_what_was_written_to_the_bit(tmp_path: Path, block_rows: int, clips: int, prompts: int) -> None:
    store = sealed(tmp_path, block_rows, clips, prompts)
    for encoder, spec in store.plan.encoders.items():
        features, expected = store.load(encoder), expected_rows(store, encoder)
        assert features.values.dtype == spec.dtype
        assert features.values.shape == expected.shape
        assert features.values.tobytes() == expected.tobytes()
        assert np.array_equal(features.ok, np.isfinite(expected).all(axis=1))
        assert len(expected) == {"clip": clips, "prompt": prompts}[spec.block.table]


def test_failures_are_told_with_their_reasons(tmp_path: Path) -> None:
    store = sealed(tmp_path)
    assert store.failures("audio") == store.failures("half") == FAILED
    assert store.failures("text") == {}
    assert np.flatnonzero(~store.load("half").ok).tolist() == list(FAILED)


def test_tables_and_pairs_are_read_back(tmp_path: Path) -> None:
    store, expected = sealed(tmp_path), Tables.of(make_pairs())
    assert store.clips() == expected.clips
    assert store.prompts() == expected.prompts
    assert store.pair_records() == expected.records()
    for found, wanted in zip(store.pair_arrays(), expected.arrays(), strict=True):
        assert found.dtype == wanted.dtype
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_shards_part_the_blocks(tmp_path: Path, count: int) -> None:
    store = planned(tmp_path, block_rows=1)
    for block in (2, 5):
        write_block(store, "audio", block, np.zeros((1, 4), np.float32), {})
    parts = [store.pending("audio", (index, count)) for index in range(count)]
    assert sorted(block for part in parts for block in part) == [0, 1, 3, 4, 6, 7, 8, 9]
    assert all(block % count == index for index, part in enumerate(parts) for block in part)


@pytest.mark.parametrize("shard", [(1, 1), (-1, 2), (0, 0), (3, 2), (0, -1)])
def test_a_shard_that_is_none(tmp_path: Path, shard: tuple[int, int]) -> None:
    message = f"shard: got {shard[0]}/{shard[1]}, expected i/n with 0 <= i < n"
    with pytest.raises(ValueError, match=message):
        planned(tmp_path).pending("audio", shard)


@pytest.mark.parametrize("location", ["", "sub"])
def test_where_there_is_no_store(tmp_path: Path, location: str) -> None:
    with pytest.raises(StoreError, match=r"no store.json: not a feature store, or its planning did not finish"):
        FeatureStore.open(str(tmp_path / location))


def test_an_unsealed_store_says_what_is_left(tmp_path: Path) -> None:
    store = planned(tmp_path)
    write_block(store, "audio", 1, np.zeros((4, 4), np.float32), {})
    left = (
        "not sealed; with python -m feature_export, encode these blocks, then seal: {'audio': 2, 'half': 3, 'text': 1}"
    )
    with pytest.raises(StoreError, match=re.escape(f"{tmp_path}: {left}")):
        FeatureStore.open_sealed(str(tmp_path))
    with pytest.raises(StoreError, match="audio: 2 of 3 blocks are not committed"):
        store.load("audio")
    fill(store)
    with pytest.raises(StoreError, match="not sealed; with python -m feature_export, all blocks are encoded, seal it"):
        FeatureStore.open_sealed(str(tmp_path))
    seal_store(store)
    assert FeatureStore.open_sealed(str(tmp_path)).sealed


def test_an_unknown_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="encoder: got 'adio', accepted are 'audio', 'half', 'text'"):
        planned(tmp_path).load("adio")


def test_verify_returns_the_seal(tmp_path: Path) -> None:
    store = sealed(tmp_path)
    assert store.verify() == json.loads((tmp_path / "SEALED.json").read_bytes())


def test_an_unsealed_store_is_not_verified(tmp_path: Path) -> None:
    store = planned(tmp_path)
    fill(store)
    with pytest.raises(StoreError, match=r"not sealed$"):
        store.verify()


def rewrite(store: FeatureStore, encoder: str, block: int, rows: np.ndarray, failed: dict[int, str]) -> None:
    """Encodes a block again, as someone who deletes its commit would."""
    Path(store.location, f"commits/{encoder}/{block:08d}.json").unlink()
    assert write_block(store, encoder, block, rows, failed)


def test_features_that_change_after_sealing_are_noticed(tmp_path: Path) -> None:
    store = sealed(tmp_path)
    rewrite(store, "text", 0, np.ones((3, 2), np.float32), {})
    store.load("text")  # whole in itself
    with pytest.raises(StoreError, match=r"changed since it was sealed: encoders\.text\.sha256: '[0-9a-f]{64}', not '"):
        store.verify()


def test_rows_that_fail_after_sealing_are_noticed(tmp_path: Path) -> None:
    store = sealed(tmp_path)
    rewrite(store, "audio", 0, np.zeros((4, 4), np.float32), {1: "no such file"})
    with pytest.raises(StoreError, match=r"encoders\.audio\.failed_rows: \[1, 8\], not \[3, 8\]"):
        store.verify()


@pytest.mark.parametrize("table", ["clips", "prompts", "pairs"])
def test_tables_that_change_after_sealing_are_noticed(tmp_path: Path, table: str) -> None:
    store = sealed(tmp_path / "store")
    others = [replace(p, source="Beta", prompt=f"{p.prompt}!", system_a="two") for p in make_pairs()]
    (tmp_path / f"store/tables/{table}-00000.parquet").write_bytes(Tables.of(others).to_parquet()[table])
    with pytest.raises(StoreError, match=rf"holds other tables than were planned: tables\.{table[:-1]}: TableSpec"):
        store.verify()


@pytest.mark.parametrize("name", ["index", "label", "split"])
def test_pairs_that_change_after_sealing_are_noticed(tmp_path: Path, name: str) -> None:
    store = sealed(tmp_path)
    array = {array.prefix: array for array in pair_arrays(store.plan)}[f"pairs/{name}/"]
    values = read_array(store.root, array)
    open_array(store.root, array).write(np.roll(values, 1, axis=0)).result()
    with pytest.raises(StoreError, match=r"holds other tables than were planned: tables\.pair: TableSpec"):
        store.verify()


def test_a_store_that_was_sealed_and_lost_a_commit_is_not_read(tmp_path: Path) -> None:
    store = sealed(tmp_path)
    (tmp_path / "commits/half/00000002.json").unlink()
    for read in (store.verify, lambda: store.load("half"), store.digest):
        with pytest.raises(StoreError, match="half: 1 of 3 blocks are not committed"):
            read()


def test_the_identity_of_a_store_is_its_content(tmp_path: Path) -> None:
    one, same = sealed(tmp_path / "one"), sealed(tmp_path / "same")
    edit_json(tmp_path / "same/store.json", lambda plan: plan["environment"].update(torch="9.9"))
    assert FeatureStore.open(str(tmp_path / "same")).sha256 == same.sha256 == one.sha256
    rewrite(same, "text", 0, np.ones((3, 2), np.float32), {})
    seal_store(same)
    assert same.sha256 != one.sha256
    assert sealed(tmp_path / "blocks", block_rows=5).sha256 != one.sha256


def test_moving_a_store_does_not_matter(tmp_path: Path) -> None:
    before = sealed(tmp_path / "here").sha256
    shutil.move(tmp_path / "here", tmp_path / "a b%20#c")
    after = FeatureStore.open_sealed(str(tmp_path / "a b%20#c"))
    assert after.verify()
    assert after.sha256 == before


def test_encoders_are_apart(tmp_path: Path) -> None:
    """An encoder that is not finished does not stop another from being read."""
    store = plan_store(str(tmp_path), make_pairs(), (AUDIO, HALF), block_rows=4)
    values = expected_rows(store, "half", {})
    for block in store.pending("half"):
        low, high = store.bounds("half", block)
        write_block(store, "half", block, values[low:high], {})
    assert np.array_equal(store.load("half").values, values)
    with pytest.raises(StoreError, match="audio: 3 of 3 blocks are not committed"):
        store.load("audio")
