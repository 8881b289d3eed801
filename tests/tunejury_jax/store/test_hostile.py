"""Damaged and hostile stores: every one is an error with a message, soon; none aborts, hangs or is believed."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
from store_factory import edit_json, expected_rows, fill, planned, sealed, snapshot

from tunejury_jax.store import FeatureStore, StoreError, seal_store
from tunejury_jax.store.arrays import open_array, pair_arrays, read_array

CHUNK = "features/audio/c.1.0"
META = "features/audio/zarr.json"
COMMIT = "commits/audio/00000001.json"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(sealed(tmp_path_factory.mktemp("pristine")).location)


@pytest.fixture
def store(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "store")


def refused(store: Path, message: str) -> None:
    """Reading, verifying and sealing all fail, with the message."""
    opened = FeatureStore.open_sealed(str(store))
    for read in (lambda: opened.load("audio"), opened.verify, lambda: seal_store(opened)):
        with pytest.raises(StoreError, match=re.escape(message)):
            read()


def test_the_store_that_is_damaged_below_was_whole(store: Path) -> None:
    assert FeatureStore.open_sealed(str(store)).verify()


def flip(path: Path, byte: int) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("byte", [0, 17, 63, 64, -1])
def test_a_flipped_bit(store: Path, byte: int) -> None:
    flip(store / CHUNK, byte)
    refused(store, "features/audio/: cannot be read: DATA_LOSS")


@pytest.mark.parametrize("size", [0, 1, 4, 67])
def test_a_truncated_chunk(store: Path, size: int) -> None:
    (store / CHUNK).write_bytes((store / CHUNK).read_bytes()[:size])
    refused(store, "features/audio/: cannot be read: ")


def test_what_stands_behind_a_chunk_is_not_read(store: Path) -> None:
    with (store / CHUNK).open("ab") as file:
        file.write(b"\1" * 100)
    opened = FeatureStore.open_sealed(str(store))
    assert opened.load("audio").values.tobytes() == expected_rows(opened, "audio").tobytes()


def test_a_missing_chunk(store: Path) -> None:
    (store / CHUNK).unlink()
    refused(store, "features/audio/: cannot be read: NOT_FOUND: chunk {1, 0}")


def test_a_folder_in_place_of_a_chunk(store: Path) -> None:
    (store / CHUNK).unlink()
    (store / CHUNK).mkdir()
    refused(store, "features/audio/: cannot be read: NOT_FOUND")


def test_a_chunk_of_another_block(store: Path) -> None:
    shutil.copy(store / "features/audio/c.0.0", store / CHUNK)
    refused(store, "audio, block 1: data does not match its commit; delete the commit and encode the block again")


def test_a_commit_without_data(store: Path) -> None:
    shutil.rmtree(store / "features/audio")
    refused(store, f"{META}: missing")


def write_behind(store: Path, rows: slice, values: np.ndarray) -> None:
    """Writes features through TensorStore, past the store."""
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(store / "features/audio/")}}
    array = ts.open(spec | {"store_data_equal_to_fill_value": True}, open=True).result()
    array[rows].write(values).result()


@pytest.mark.parametrize("uncommitted", [True, False])
def test_a_block_that_is_written_in_part(store: Path, uncommitted: bool) -> None:
    """Rows that were never written read as NaN without any error: the commit and the finite check are the guards."""
    expected = expected_rows(FeatureStore.open(str(store)), "audio", {})
    (store / CHUNK).unlink()
    write_behind(store, slice(4, 6), expected[4:6])
    if uncommitted:
        (store / COMMIT).unlink()
    refused(store, "audio: 1 of 3 blocks are not committed" if uncommitted else "audio, block 1: data does not match")


def test_unwritten_rows_with_a_forged_checksum(store: Path) -> None:
    from google_crc32c import value as crc32c

    rows = np.full((4, 4), np.nan, np.float32)
    write_behind(store, slice(4, 8), rows)
    edit_json(store / COMMIT, lambda commit: commit.update(crc32c=crc32c(rows.tobytes())))
    refused(store, "audio, block 1: the rows that are not finite are not the rows recorded as failed")


def test_rows_that_are_finite_and_recorded_as_failed(store: Path) -> None:
    edit_json(store / COMMIT, lambda commit: commit["failed"].update({"5": "truncated"}))
    refused(store, "audio, block 1: the rows that are not finite are not the rows recorded as failed")


BAD_COMMITS: list[tuple[dict[str, Any], str]] = [
    (
        {"fingerprint": "0" * 16},
        "audio, block 1: written by another encoder: fingerprint '0000000000000000', the plan has",
    ),
    ({"fingerprint": None}, "audio, block 1: written by another encoder: fingerprint None, the plan has"),
    ({"crc32c": 1}, "audio, block 1: data does not match its commit"),
    ({"crc32c": "x"}, "audio, block 1: data does not match its commit"),
    ({"block": 0}, f"{COMMIT}: missing, or the commit of another block"),
    ({"block": "1"}, f"{COMMIT}: missing, or the commit of another block"),
    ({"failed": {"99": "x"}}, f"{COMMIT}: failed is not about rows 4 to 7"),
    ({"failed": {"3": "x"}}, f"{COMMIT}: failed is not about rows 4 to 7"),
    ({"failed": {"-4": "x"}}, f"{COMMIT}: failed is not about rows 4 to 7"),
    ({"failed": {"x": "x"}}, f"{COMMIT}: failed is not about rows 4 to 7"),
    ({"failed": {str(1 << 70): "x"}}, f"{COMMIT}: failed is not about rows 4 to 7"),
    ({"failed": [4]}, f"{COMMIT}: failed is not about rows 4 to 7"),
    ({"failed": None}, f"{COMMIT}: failed is not about rows 4 to 7"),
]


@pytest.mark.parametrize(("change", "message"), BAD_COMMITS, ids=range(len(BAD_COMMITS)))
def test_an_edited_commit(store: Path, change: dict[str, Any], message: str) -> None:
    edit_json(store / COMMIT, lambda commit: commit.update(change))
    refused(store, message)


@pytest.mark.parametrize("field", ["block", "fingerprint", "crc32c", "failed"])
def test_a_commit_that_lacks_a_field(store: Path, field: str) -> None:
    edit_json(store / COMMIT, lambda commit: commit.pop(field))
    refused(store, {"block": COMMIT, "failed": COMMIT}.get(field, "audio, block 1: "))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b"\xff"])
def test_a_commit_that_is_none(store: Path, content: bytes) -> None:
    (store / COMMIT).write_bytes(content)
    refused(store, f"{COMMIT}: ")


@pytest.mark.parametrize("name", ["00000003.json", "00000099.json", "1.json", "00000001.json.part", "x/00000001.json"])
def test_a_commit_of_no_block_changes_nothing(store: Path, name: str) -> None:
    path = store / "commits/text" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((store / "commits/text/00000000.json").read_bytes())
    assert FeatureStore.open(str(store)).verify()


def test_a_commit_of_no_block_does_not_complete_an_encoder(tmp_path: Path) -> None:
    opened = planned(tmp_path)
    fill(opened)
    (tmp_path / COMMIT).rename(tmp_path / "commits/audio/00000003.json")
    assert opened.pending("audio") == [1]


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    *keys, last, value = path

    def change(document: dict[str, Any]) -> None:
        for key in keys:
            document = document[key]
        document[last] = value

    return change


ENDIAN = {"name": "bytes", "configuration": {"endian": "big"}}
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
SHARDING = {
    "name": "sharding_indexed",
    "configuration": {"chunk_shape": [4, 4], "codecs": [LITTLE], "index_codecs": [LITTLE]},
}
METADATA = [
    put("shape", [8, 4]),
    put("shape", [4, 4]),
    put("shape", [0, 4]),
    put("shape", [12, 3]),
    put("shape", [1 << 40, 4]),
    put("shape", [1 << 70, 4]),
    put("shape", [-12, 4]),
    put("shape", [12]),
    put("chunk_grid", "configuration", "chunk_shape", [1 << 40, 4]),
    put("chunk_grid", "configuration", "chunk_shape", [1 << 62, 4]),
    put("chunk_grid", "configuration", "chunk_shape", [1, 4]),
    put("chunk_grid", "configuration", "chunk_shape", [0, 4]),
    put("chunk_grid", "configuration", "chunk_shape", [4, 2]),
    put("chunk_grid", {"name": "irregular"}),
    put("data_type", "float16"),
    put("data_type", "float64"),
    put("data_type", "int32"),
    put("data_type", "complex128"),
    put("fill_value", 0.0),
    put("fill_value", "Infinity"),
    put("codecs", [LITTLE]),
    put("codecs", [ENDIAN, {"name": "crc32c"}]),
    put("codecs", [LITTLE, {"name": "crc32c"}, {"name": "gzip", "configuration": {"level": 1}}]),
    put("codecs", [LITTLE, {"name": "zstd", "configuration": {"level": 1}}]),
    put("codecs", [SHARDING]),
    put("codecs", [{"name": "transpose", "configuration": {"order": [1, 0]}}, LITTLE, {"name": "crc32c"}]),
    put("codecs", [{"name": "evil"}]),
    put("chunk_key_encoding", {"name": "default", "configuration": {"separator": "/"}}),
    put("chunk_key_encoding", {"name": "v2"}),
    put("dimension_names", ["prompt", "embed"]),
    put("zarr_format", 2),
    put("node_type", "group"),
    put("storage_transformers", [{"name": "evil"}]),
    put("must_understand_this", {"must_understand": True}),
]


@pytest.mark.parametrize("edit", METADATA, ids=range(len(METADATA)))
def test_edited_metadata(store: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    edit_json(store / META, edit)
    refused(store, f"{META}: differs from the plan: ")


@pytest.mark.parametrize("content", [b"", b"{}", b"{", b"[1]", b"\xff", b"[" * 100_000, b"null"])
def test_metadata_that_is_none(store: Path, content: bytes) -> None:
    (store / META).write_bytes(content)
    refused(store, f"{META}: differs from the plan: ")


def test_metadata_that_is_too_long(store: Path) -> None:
    edit_json(store / META, put("attributes", {"x": "y" * (1 << 20)}))
    refused(store, f"{META}: more than 1048576 bytes, which are accepted at most")


@pytest.mark.parametrize("array", range(4))
def test_edited_metadata_of_the_pairs(store: Path, array: int) -> None:
    prefix = pair_arrays(FeatureStore.open(str(store)).plan)[array].prefix
    edit_json(store / prefix / "zarr.json", put("chunk_grid", "configuration", "chunk_shape", 0, 1 << 40))
    opened = FeatureStore.open(str(store))
    for read in (opened.pair_arrays, opened.verify, lambda: seal_store(opened)):
        with pytest.raises(StoreError, match=f"{prefix}zarr.json: differs from the plan: "):
            read()


POINTERS = [
    (0, (10, 0, 0), "pairs/index points outside its tables of [10, 10, 3] rows"),
    (0, (0, 10, 0), "pairs/index points outside"),
    (0, (0, 0, 3), "pairs/index points outside"),
    (0, (-1, 0, 0), "pairs/index points outside"),
    (0, (0, -1, 0), "pairs/index points outside"),
    (0, (0, 0, -2), "pairs/index points outside"),
    (1, 4, "pairs/label has a code that stands for none of ['a', 'b', 'tie', 'both_bad']"),
    (1, 255, "pairs/label has a code that stands for none"),
    (2, 1, "pairs/source has a code that stands for none of ['Alpha']"),
    (3, 4, "pairs/split has a code that stands for none of ['train', 'valid', 'test', 'none']"),
]


@pytest.mark.parametrize(("number", "value", "message"), POINTERS)
def test_pairs_that_point_outside_their_tables(store: Path, number: int, value: Any, message: str) -> None:
    opened = FeatureStore.open(str(store))
    array = pair_arrays(opened.plan)[number]
    values = read_array(opened.root, array)
    values[-1] = value
    open_array(opened.root, array).write(values).result()
    for read in (opened.pair_arrays, opened.verify, lambda: seal_store(opened)):
        with pytest.raises(StoreError, match=re.escape(message)):
            read()


@pytest.mark.parametrize("name", ["clips", "prompts", "pairs"])
@pytest.mark.parametrize("content", [None, b"", b"PAR1" * 10])
def test_a_damaged_table(store: Path, name: str, content: bytes | None) -> None:
    path = store / f"tables/{name}-00000.parquet"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    opened = FeatureStore.open_sealed(str(store))
    for read in (opened.verify, lambda: seal_store(opened)):
        with pytest.raises(StoreError, match=rf"tables/{name}"):
            read()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000])
def test_a_damaged_seal(store: Path, content: bytes) -> None:
    (store / "SEALED.json").write_bytes(content)
    opened = FeatureStore.open(str(store))
    for read in (opened.verify, lambda: opened.sha256):
        with pytest.raises(StoreError, match=r"SEALED\.json: "):
            read()


@pytest.mark.parametrize("change", [put("encoders", "audio", "rows", 9), put("encoders", {}), put("x", 1)])
def test_an_edited_seal(store: Path, change: Callable[[dict[str, Any]], None]) -> None:
    edit_json(store / "SEALED.json", change)
    with pytest.raises(StoreError, match="changed since it was sealed: "):
        FeatureStore.open(str(store)).verify()


def test_reading_a_damaged_store_changes_nothing(store: Path) -> None:
    flip(store / CHUNK, 0)
    before = snapshot(store)
    refused(store, "DATA_LOSS")
    assert snapshot(store) == before


CHILD = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
from tunejury_jax.store import FeatureStore
began = time.monotonic()
errors = []
try:
    store = FeatureStore.open(sys.argv[1])
    reads = [store.pair_arrays, store.verify, *(lambda n=n: store.load(n) for n in store.plan.encoders)]
except ValueError as error:
    reads, errors = [], [str(error)]
for read in [*reads, lambda: FeatureStore.open_sealed(sys.argv[1]).clips()]:
    try:
        read()
    except ValueError as error:
        errors.append(str(error))
print(json.dumps([time.monotonic() - began, errors]))
"""


def huge(store: Path, key: str) -> None:
    with (store / key).open("r+b") as file:
        file.truncate(100 << 30)


def many_pairs(store: Path) -> None:
    """More pairs than any memory holds, in plan and arrays alike."""
    edit_json(store / "store.json", put("tables", "pair", "rows", 1 << 39))
    for path in (store / "pairs").glob("*/zarr.json"):
        edit_json(path, put("shape", 0, 1 << 39))


def many_clips(store: Path) -> None:
    """More clips than can be counted, in plan and arrays alike, for a store that was never sealed."""
    (store / "SEALED.json").unlink()
    edit_json(store / "store.json", put("tables", "clip", "rows", 1 << 39))
    for path in (store / "features").glob("*/zarr.json"):
        edit_json(path, put("shape", 0, 1 << 39))


def wide_rows(store: Path) -> None:
    edit_json(store / META, put("chunk_grid", "configuration", "chunk_shape", [1 << 40, 4]))


def wide_pairs(store: Path) -> None:
    edit_json(store / "pairs/index/zarr.json", put("chunk_grid", "configuration", "chunk_shape", [1 << 40, 3]))


IN_A_CHILD: list[tuple[Callable[[Path], None], str]] = [
    (wide_rows, f"{META}: differs from the plan: "),
    (wide_pairs, "pairs/index/zarr.json: differs from the plan: "),
    (many_pairs, "pairs/index/: cannot be read: Unable to allocate "),
    (many_clips, "audio: 137438953472 blocks of 4 rows are over 4194304"),
    (lambda store: huge(store, "store.json"), "store.json: more than 1048576 bytes, which are accepted at most"),
    (lambda store: huge(store, META), f"{META}: more than 1048576 bytes"),
    (lambda store: huge(store, COMMIT), f"{COMMIT}: more than 67108864 bytes"),
    (lambda store: huge(store, "SEALED.json"), "SEALED.json: more than 67108864 bytes"),
    (lambda store: huge(store, "tables/clips-00000.parquet"), "tables/clips-00000.parquet: more than 4294967296 bytes"),
]


@pytest.mark.parametrize(("damage", "message"), IN_A_CHILD, ids=range(len(IN_A_CHILD)))
def test_nothing_makes_the_process_allocate_without_bound(
    store: Path, damage: Callable[[Path], None], message: str
) -> None:
    """TensorStore aborts a process that lacks memory, so this runs in a child, with six gigabytes at most."""
    damage(store)
    child = subprocess.run([sys.executable, "-c", CHILD, str(store)], capture_output=True, text=True, timeout=60)
    assert child.returncode == 0, child.stderr[-2000:]
    seconds, errors = json.loads(child.stdout)
    assert any(message in error for error in errors), errors
    assert seconds < 5
