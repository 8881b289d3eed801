"""Embeddings kept on disk: what is put is found bit by bit, damage is not, and writers do not disturb each other."""

import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tunejury_jax.embedding_cache import Column, EmbeddingCache, clip_key, prompt_key

KEY = clip_key("a" * 64, None)
VALUES = {"toy": np.array([1, -0.0, np.float32(1e-42), 3e38], np.float32), "words": np.ones(2, np.float32)}


@pytest.fixture
def cache(tmp_path):
    return EmbeddingCache(tmp_path / "cache", {"toy": Column("f1", 4), "words": Column("f2", 2)})


def files(cache):
    return sorted(path for path in cache.root.rglob("*") if path.is_file())


def test_what_is_put_is_found_bit_by_bit(cache):
    assert cache.get(KEY) == {}
    cache.put(KEY, VALUES | {"other": np.ones(3, np.float32)})
    found = pickle.loads(pickle.dumps(cache)).get(KEY)
    assert {name: values.tobytes() for name, values in found.items()} == {n: v.tobytes() for n, v in VALUES.items()}
    assert len(files(cache)) == 2


def test_other_encoders_spans_and_prompts_are_other_embeddings(cache):
    cache.put(KEY, VALUES)
    other = EmbeddingCache(cache.root, cache.columns | {"toy": Column("f9", 4)})
    assert other.get(KEY).keys() == {"words"}
    keys = [KEY, clip_key("a" * 64, (0.0, 1.0)), clip_key("a" * 64, (0.0, 1.5)), clip_key("b" * 64, None)]
    keys += [prompt_key(text) for text in ("", "calm", "Calm", "\ud800")]
    assert len(set(keys)) == len(keys)
    assert clip_key("a" * 64, (0.0, 1.0)) == clip_key("a" * 64, (0.0, 1.0))


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b + b"x", lambda b: b"", lambda b: b[:3] + b"\xff" + b[4:]]
)
def test_a_damaged_embedding_is_made_again(cache, damage):
    cache.put(KEY, VALUES)
    path = next(path for path in files(cache) if "toy" in str(path))
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert cache.get(KEY).keys() == {"words"}
    cache.put(KEY, VALUES)
    assert path.read_bytes() == whole


def test_what_is_there_is_not_written_again(cache):
    cache.put(KEY, VALUES)
    before = [path.stat().st_mtime_ns for path in files(cache)]
    cache.put(KEY, {name: values + 1 for name, values in VALUES.items()})
    assert [path.stat().st_mtime_ns for path in files(cache)] == before


WRITE_FOR_EVER = """
import itertools, sys
from pathlib import Path
import numpy as np
from tunejury_jax.embedding_cache import Column, EmbeddingCache, clip_key

cache = EmbeddingCache(Path(sys.argv[1]), {"toy": Column("f1", 4)})
for number in itertools.count():
    cache.put(clip_key(f"{number:064}", None), {"toy": np.full(4, number, np.float32)})
"""


def test_writers_that_are_killed_leave_whole_embeddings_or_none(tmp_path):
    cache = EmbeddingCache(tmp_path, {"toy": Column("f1", 4)})
    command = [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)]
    writers = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(2)]
    deadline = time.monotonic() + 60
    while not cache.get(clip_key(f"{200:064}", None)) and time.monotonic() < deadline:
        time.sleep(0.01)
    for writer in writers:
        writer.kill()
        writer.wait()
    left = [path for path in files(cache) if not path.name.endswith(".partial")]
    assert len(left) > 200
    for number in range(len(left)):
        assert cache.get(clip_key(f"{number:064}", None))["toy"].tolist() == [number] * 4
