"""Arrays on disk: their metadata, whole chunks, and opening exactly what the plan says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_factory import planned

from tunejury_jax.store import StoreError
from tunejury_jax.store.arrays import ArraySpec, create_array, feature_array, open_array, pair_arrays, read_array
from tunejury_jax.store.kv import open_root

ARRAY = ArraySpec("features/x/", (8, 3), (4, 3), "float32", ("clip", "embed"), float("nan"))
VALUES = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("rows", [0, 4, 8, 40])
def test_what_is_written_is_read(tmp_path: Path, rows: int, dtype: str) -> None:
    array = replace(ARRAY, shape=(rows, 3), dtype=dtype)
    values = np.random.default_rng(rows).standard_normal((rows, 3)).astype(dtype)
    values[:1] = np.nan
    create_array(open_root(str(tmp_path)), array).write(values).result()
    found = read_array(open_root(str(tmp_path)), array)
    assert found.dtype == dtype
    assert found.tobytes() == values.tobytes()
    assert found.flags.writeable


def test_metadata_on_disk(tmp_path: Path) -> None:
    create_array(open_root(str(tmp_path)), ARRAY)
    metadata = json.loads((tmp_path / "features/x/zarr.json").read_bytes())
    assert metadata["shape"] == [8, 3]
    assert metadata["data_type"] == "float32"
    assert metadata["fill_value"] == "NaN"
    assert metadata["dimension_names"] == ["clip", "embed"]
    assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == [4, 3]
    assert [codec["name"] for codec in metadata["codecs"]] == ["bytes", "crc32c"]
    assert metadata["codecs"][0]["configuration"] == {"endian": "little"}


@pytest.mark.parametrize("fill", [np.nan, 0.0])
def test_rows_that_equal_the_fill_value_are_stored_all_the_same(tmp_path: Path, fill: float) -> None:
    root = open_root(str(tmp_path))
    create_array(root, ARRAY)[4:8].write(np.full((4, 3), fill, np.float32)).result()
    assert [path.name for path in tmp_path.glob("features/x/c*")] == ["c.1.0"]


def test_a_chunk_that_was_never_written_is_an_error(tmp_path: Path) -> None:
    root = open_root(str(tmp_path))
    create_array(root, ARRAY)[:4].write(VALUES[:4]).result()
    with pytest.raises(StoreError, match=r"features/x/: cannot be read: NOT_FOUND: chunk \{1, 0\}"):
        read_array(root, ARRAY)


def test_an_array_that_is_there_is_kept(tmp_path: Path) -> None:
    root = open_root(str(tmp_path))
    create_array(root, ARRAY).write(VALUES).result()
    create_array(root, ARRAY)
    assert np.array_equal(read_array(root, ARRAY), VALUES)


CHANGES = [
    {"shape": (12, 3)},
    {"shape": (4, 3)},
    {"chunk": (8, 3)},
    {"dtype": "float16"},
    {"labels": ("prompt", "embed")},
    {"fill": 0},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(*change))
def test_an_array_that_is_another_is_refused(tmp_path: Path, change: dict) -> None:
    root = open_root(str(tmp_path))
    create_array(root, ARRAY).write(VALUES).result()
    with pytest.raises(StoreError, match=r"^features/x/zarr.json: differs from the plan: FAILED_PRECONDITION"):
        open_array(root, replace(ARRAY, **change))
    with pytest.raises(StoreError, match=r"^features/x/: cannot be created: FAILED_PRECONDITION"):
        create_array(root, replace(ARRAY, **change))
    assert np.array_equal(read_array(root, ARRAY), VALUES)


def test_an_array_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^features/x/zarr.json: missing$"):
        open_array(open_root(str(tmp_path)), ARRAY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("block_rows", [1, 3, 16])
def test_features_are_whole_blocks_of_whole_rows(tmp_path: Path, block_rows: int) -> None:
    plan = planned(tmp_path, block_rows).plan
    for name, spec in plan.encoders.items():
        array = feature_array(plan, name)
        assert array.chunk == (block_rows, spec.block.dim)
        assert array.shape == (plan.capacity(name), spec.block.dim)
        assert array.dtype == spec.dtype
        assert np.isnan(array.fill)


def test_pair_arrays_have_a_fill_value_that_is_no_pair(tmp_path: Path) -> None:
    index, *codes = pair_arrays(planned(tmp_path).plan)
    assert (index.prefix, index.shape, index.fill) == ("pairs/index/", (10, 3), -2)
    assert [(code.prefix, code.shape, code.fill) for code in codes] == [
        ("pairs/label/", (10,), 255),
        ("pairs/source/", (10,), 255),
        ("pairs/split/", (10,), 255),
    ]


def test_an_unknown_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="encoder: got 'adio', accepted are 'audio', 'half', 'text'"):
        feature_array(planned(tmp_path).plan, "adio")
