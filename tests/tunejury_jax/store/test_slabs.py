"""Rows piece by piece, on the host and onto the device: the bits of the whole, each block checked."""

from pathlib import Path

import numpy as np
import pytest
from store_factory import FAILED, expected_rows, planned, sealed

from tunejury_jax.store import FeatureStore, StoreError, slabs
from tunejury_jax.store.slabs import slab_rows
from tunejury_jax.store.streaming import stream_to_device

ROW_BYTES = {"audio": 16, "half": 6, "text": 8}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return sealed(tmp_path_factory.mktemp("store"), block_rows=3, clips=23, prompts=5)


@pytest.fixture(params=[1, 100, 200, 1 << 20])
def slab_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(slabs, "SLAB_BYTES", request.param)
    return request.param


@pytest.mark.parametrize("encoder", ROW_BYTES)
def test_slabs_are_the_rows_in_order(store: FeatureStore, encoder: str, slab_bytes: int) -> None:
    pieces, expected = list(store.slabs(encoder)), expected_rows(store, encoder)
    assert np.concatenate([rows.values for _, rows in pieces]).tobytes() == expected.tobytes()
    ok = np.concatenate([rows.ok for _, rows in pieces])
    assert np.array_equal(ok, np.isfinite(expected).all(axis=1))
    starts = np.cumsum([0, *(len(rows.ok) for _, rows in pieces)])
    assert [low for low, _ in pieces] == starts[:-1].tolist()
    assert store.load(encoder).values.tobytes() == expected.tobytes()


@pytest.mark.parametrize("encoder", ROW_BYTES)
def test_a_slab_is_whole_blocks_within_its_bound(store: FeatureStore, encoder: str, slab_bytes: int) -> None:
    rows = slab_rows(store.plan, encoder)
    assert rows % 3 == 0
    assert rows == 3 or rows * ROW_BYTES[encoder] <= slab_bytes < (rows + 3) * ROW_BYTES[encoder]
    assert all(len(piece.ok) == rows for _, piece in list(store.slabs(encoder))[:-1])


@pytest.mark.parametrize("encoder", ROW_BYTES)
@pytest.mark.parametrize("extra", [0, 1])
def test_the_device_gets_what_load_gives(store: FeatureStore, encoder: str, extra: int, slab_bytes: int) -> None:
    matrix, ok = stream_to_device(store, encoder, extra_rows=extra)
    loaded = store.load(encoder)
    zeroed = np.where(loaded.ok[:, None], loaded.values, 0).astype(np.float32)
    assert np.asarray(matrix).tobytes() == np.pad(zeroed, ((0, extra), (0, 0))).tobytes()
    assert np.array_equal(ok, np.append(loaded.ok, np.ones(extra, bool)))


def test_the_device_keeps_the_type_of_the_store_if_asked(store: FeatureStore) -> None:
    matrix, ok = stream_to_device(store, "half", dtype="float16")
    assert matrix.dtype == np.float16
    assert np.asarray(matrix)[ok].tobytes() == store.load("half").values[ok].tobytes()
    assert np.flatnonzero(~ok).tolist() == list(FAILED)


def test_no_rows_are_none(tmp_path: Path) -> None:
    matrix, ok = stream_to_device(sealed(tmp_path, clips=4, prompts=0), "text", extra_rows=1)
    assert np.asarray(matrix).tolist() == [[0, 0]]
    assert ok.tolist() == [True]


def test_a_damaged_block_stops_the_reader_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = sealed(tmp_path, block_rows=2)
    monkeypatch.setattr(slabs, "SLAB_BYTES", 1)
    (tmp_path / "features/audio/c.3.0").write_bytes((tmp_path / "features/audio/c.0.0").read_bytes())
    pieces = store.slabs("audio")
    assert [next(pieces).low for _ in range(3)] == [0, 2, 4]
    for read in (lambda: next(pieces), lambda: stream_to_device(store, "audio")):
        with pytest.raises(StoreError, match="audio, block 3: data does not match its commit"):
            read()


def test_an_unfinished_store_is_not_streamed(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="audio: 3 of 3 blocks are not committed"):
        stream_to_device(planned(tmp_path), "audio")
