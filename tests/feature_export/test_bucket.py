"""A store in a bucket: planned, encoded by two processes, sealed, loaded, verified, grown; the objects of a folder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from audio_factory import clip_pairs, write_bad, write_clips
from loopback_s3 import BUCKET, MOTO, bucket, environment
from store_factory import snapshot

from feature_export.audio import SignalPath
from feature_export.encoders import Compute, load_stack
from feature_export.export import Encoding, plan
from tunejury_jax.pairs import read_pairs
from tunejury_jax.store import FeatureStore, StoreError, grow, kv, seal_store

ROOT = Path(__file__).parents[2]
STACK = load_stack(("mel",), SignalPath(), Compute("cpu", autocast=False))

pytestmark = [
    pytest.mark.slow(reason="starts an S3 emulator and two exports"),
    pytest.mark.skipif(MOTO is None, reason="moto_server is neither in .venv/moto nor on the PATH"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    names = write_clips(folder / "audio", 10, seconds=0.1) + write_bad(folder / "audio")
    clip_pairs(names, folder / "pairs.jsonl", prompts=5)
    return folder


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with bucket() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(endpoint).items():
            patch.setenv(name, value)
        yield endpoint


def planned(data: Path, location: str) -> FeatureStore:
    return plan(read_pairs(data / "pairs.jsonl"), STACK, location, 4)


def objects(location: str) -> dict[str, bytes]:
    """Every object of a store by its key."""
    root = kv.open_root(location)
    return {key.decode(): root.read(key).result().value for key in root.list().result()}


def test_a_bucket_ends_as_a_folder_does(data: Path, endpoint: str) -> None:
    """Two shards at once, in processes of their own."""
    location = f"s3://{BUCKET}/exports/a b"
    store = planned(data, location)
    command = [sys.executable, "-m", "feature_export", "encode", "--store", location]
    with pytest.raises(StoreError, match="not sealed; with python -m feature_export, encode these blocks"):
        FeatureStore.open_sealed(location)
    shards = [
        subprocess.Popen(
            [*command, "--audio-root", str(data / "audio"), "--shard", f"{shard}/2", "--workers", "0"],
            cwd=ROOT,
            env={**os.environ, **environment(endpoint)},
        )
        for shard in range(2)
    ]
    assert [shard.wait(120) for shard in shards] == [0, 0]
    seal_store(store)

    folder = planned(data, str(data / "folder"))
    Encoding(folder, STACK, data / "audio").run()
    seal_store(folder)
    assert objects(location) == snapshot(data / "folder")
    sealed = FeatureStore.open_sealed(location)
    assert sealed.verify() == folder.verify()
    assert sealed.sha256 == folder.sha256
    for name in folder.plan.encoders:
        assert sealed.load(name).values.tobytes() == folder.load(name).values.tobytes()
    assert planned(data, location).plan == sealed.plan


def test_a_dataset_grows_in_a_bucket(data: Path, endpoint: str) -> None:
    location = f"s3://{BUCKET}/dataset"
    store = planned(data, f"{location}/part")
    Encoding(store, STACK, data / "audio").run()
    with pytest.raises(StoreError, match="is not below"):
        grow(location, f"s3://{BUCKET}/exports/a b")
    seal_store(store)
    grow(location, f"{location}/part")
    grown = FeatureStore.open_sealed(location)
    assert np.array_equal(grown.load("signal").ok, store.load("signal").ok)
    assert grown.pair_records() == store.pair_records()


def test_an_object_is_put_once(endpoint: str) -> None:
    root = kv.open_root(f"s3://{BUCKET}/once")
    before = kv.generation(root, "key")
    assert kv.put_if_absent(root, "key", b"one")
    assert not kv.put_if_absent(root, "key", b"two")
    assert not kv.put_if_unchanged(root, "key", b"two", before)
    assert kv.read_bytes(root, "key", 3) == b"one"
    with pytest.raises(StoreError, match="key: more than 2 bytes"):
        kv.read_bytes(root, "key", 2)


def test_a_bucket_that_is_not_there(endpoint: str) -> None:
    with pytest.raises(StoreError, match=r"store\.json"):
        FeatureStore.open("s3://no-such-bucket/store")


def test_no_credentials_stand_in_a_location(endpoint: str) -> None:
    assert set(kv.open_root(f"s3://{BUCKET}/x").spec().to_json()) == {"driver", "bucket", "path", "endpoint"}
