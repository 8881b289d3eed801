"""Files of embeddings: what is written is read, and nothing else is."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tunejury_jax.generation_metrics.embeddings import Embeddings

VALUES = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
MADE = Embeddings(VALUES, ("a.wav", "b.wav", "ü.wav", "d", "e"), "mert", {"encoder": "mert", "pooling": "mean"})


def test_round_trip(tmp_path: Path) -> None:
    MADE.save(tmp_path / "set.npz")
    found = Embeddings.load(tmp_path / "set.npz")
    assert found.values.tobytes() == VALUES.tobytes()
    assert (found.ids, found.name, found.provenance) == (MADE.ids, MADE.name, MADE.provenance)
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]


def test_another_encoder_is_refused() -> None:
    Embeddings(VALUES[:2], ("x", "y"), "mert", dict(MADE.provenance)).require_made_as(MADE)
    other = Embeddings(VALUES, MADE.ids, "mert-max", {"encoder": "mert", "pooling": "maximum"})
    with pytest.raises(ValueError, match=r"made by another encoder.*embedding.*pooling: 'maximum', not 'mean'"):
        MADE.require_made_as(other)


def record(**changed: object) -> np.ndarray:
    own = {"format": "tunejury-embeddings", "version": 1, "ids": ["a"] * 5, "name": "mert", "provenance": {}}
    return np.array(json.dumps(own | changed))


@pytest.mark.parametrize(
    "arrays",
    [
        {"record": record()},
        {"values": VALUES},
        {"values": VALUES, "record": record(format="other")},
        {"values": VALUES, "record": record(version=2)},
        {"values": VALUES, "record": record(ids=["a"])},
        {"values": VALUES, "record": record(ids=3)},
        {"values": VALUES, "record": record(name="vggish")},
        {"values": VALUES, "record": record(provenance=[])},
        {"values": VALUES, "record": np.array("[]")},
        {"values": VALUES.astype(np.float64), "record": record()},
        {"values": VALUES[0], "record": record()},
        {"values": np.array([{}] * 5, object), "record": record()},
    ],
    ids=lambda arrays: " ".join(arrays),
)
def test_other_files_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "set.npz", **arrays)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"set\.npz: not a file of tunejury metrics reference, or damaged"):
        Embeddings.load(tmp_path / "set.npz")


@pytest.mark.parametrize("keep", [0, 10, 200, -30])
def test_damaged_files_are_refused(tmp_path: Path, keep: int) -> None:
    MADE.save(tmp_path / "set.npz")
    data = (tmp_path / "set.npz").read_bytes()
    (tmp_path / "set.npz").write_bytes(data[:keep])
    with pytest.raises(ValueError, match="or damaged"):
        Embeddings.load(tmp_path / "set.npz")


def test_a_shape_that_is_a_lie_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 1 << 10)})
    np.savez(tmp_path / "set.npz", record=record())
    with zipfile.ZipFile(tmp_path / "set.npz", "a") as file:
        file.writestr("values.npy", header.getvalue())
    with pytest.raises(ValueError, match="or damaged"):
        Embeddings.load(tmp_path / "set.npz")
