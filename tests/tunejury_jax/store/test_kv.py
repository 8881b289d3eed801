"""Objects of a store: which locations are opened, how much is read, and what happens once only."""

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_s3 import environment

from tunejury_jax.store import kv
from tunejury_jax.store.arrays import ArraySpec, read_array
from tunejury_jax.store.kv import StoreError, exists, list_keys, open_root, put_if_absent, read_bytes, read_json

DELAYS = ("initial_delay", "max_delay")


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:1/store",
        "https://host/store",
        "ftp://host/store",
        "memory://",
        "FILE:///tmp/store",
        "://store",
        "file:///tmp/store|zip:",
        "gs://bucket/store|ocdbt:",
    ],
)
def test_other_drivers_are_refused(location: str) -> None:
    message = f"store: got {location!r}, accepted are a local path or a URL of file, gs, s3"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        open_root(location)


@pytest.mark.parametrize("name", ["store", "a b", "50%20off", "q?x", "h#y", "bar|zip:", "http:", "é", "~", "$HOME"])
def test_a_local_path_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    assert put_if_absent(open_root(f"{tmp_path}/{name}"), "sub/key", b"value")
    assert (tmp_path / name / "sub/key").read_bytes() == b"value"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_relative_path_is_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put_if_absent(open_root("x/../store/"), "key", b"value")
    assert (tmp_path / "store/key").read_bytes() == b"value"


def test_a_file_url_is_that_folder(tmp_path: Path) -> None:
    put_if_absent(open_root(str(tmp_path)), "key", b"value")
    assert read_bytes(open_root(f"file://{tmp_path}/"), "key", 100) == b"value"


def test_opening_creates_nothing(tmp_path: Path) -> None:
    root = open_root(str(tmp_path / "store"))
    assert read_json(root, "store.json") is None
    assert not exists(root, "store.json")
    assert list_keys(root, "commits/") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_up_to_the_limit_is_read(tmp_path: Path, size: int) -> None:
    (tmp_path / "key").write_bytes(b"x" * size)
    assert read_bytes(open_root(str(tmp_path)), "key", 10) == b"x" * size
    assert exists(open_root(str(tmp_path)), "key")


@pytest.mark.parametrize("size", [11, 12, 100 << 30])
def test_more_is_refused_unread(tmp_path: Path, size: int) -> None:
    with (tmp_path / "key").open("wb") as file:
        file.truncate(size)
    with pytest.raises(StoreError, match=r"^key: more than 10 bytes, which are accepted at most$"):
        read_bytes(open_root(str(tmp_path)), "key", 10)
    assert exists(open_root(str(tmp_path)), "key")


def test_only_the_first_write_counts(tmp_path: Path) -> None:
    root = open_root(str(tmp_path))
    assert put_if_absent(root, "key", b"one")
    assert not put_if_absent(root, "key", b"two")
    assert (tmp_path / "key").read_bytes() == b"one"


def test_keys_are_listed_by_folder(tmp_path: Path) -> None:
    root = open_root(str(tmp_path))
    for key in ("commits/mel/2", "commits/mel/10", "commits/mel2/1", "commits/me/1", "commits/mel/a/b", "commits/x"):
        put_if_absent(root, key, b"")
    assert list_keys(root, "commits/mel/") == ["commits/mel/10", "commits/mel/2", "commits/mel/a/b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "store.json: not JSON: Expecting value"),
        (b'{"a":', "store.json: not JSON: Expecting value"),
        (b"\xff", "store.json: not JSON: 'utf-8' codec"),
        (b"[" * 100_000, "store.json: not JSON: maximum recursion depth exceeded"),
        (b'{"a":' * 100_000, "store.json: not JSON: maximum recursion depth exceeded"),
        (b"[1]", "store.json: expected a JSON object, got list"),
        (b'"text"', "store.json: expected a JSON object, got str"),
        (b" " * ((1 << 20) + 1), "store.json: more than 1048576 bytes, which are accepted at most"),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_json_that_is_none(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "store.json").write_bytes(content)
    with pytest.raises(StoreError, match=f"^{re.escape(message)}"):
        read_json(open_root(str(tmp_path)), "store.json")


def test_a_folder_in_place_of_an_object_is_none(tmp_path: Path) -> None:
    (tmp_path / "store.json").mkdir()
    assert read_json(open_root(str(tmp_path)), "store.json") is None


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A bucket on a port where nobody listens; two retries rather than ten."""
    for name, value in environment("http://127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(kv, "RETRIES", {**kv.RETRIES, "max_retries": 2})
    kv.context.cache_clear()
    yield
    kv.context.cache_clear()


def test_a_bucket_that_cannot_be_reached_is_given_up(nowhere: None) -> None:
    root, began = open_root("s3://bucket/store"), time.monotonic()
    for work in (
        lambda: read_json(root, "store.json"),
        lambda: put_if_absent(root, "key", b""),
        lambda: kv.put(root, "key", b""),
        lambda: list_keys(root, "commits/"),
        lambda: read_array(root, ArraySpec("features/x/", (4, 2), (4, 2), "float32", ("clip", "embed"), float("nan"))),
    ):
        with pytest.raises(
            StoreError, match=r"All 2 retry attempts failed: .*Failed to connect to 127\.0\.0\.1 port 1"
        ):
            work()
    assert time.monotonic() - began < 30


def test_retries_end_within_a_minute() -> None:
    delay_s, most_s = (float(kv.RETRIES[name].removesuffix("ms" if name[0] == "i" else "s")) for name in DELAYS)
    assert sum(min(delay_s / 1000 * 2**retry, most_s) for retry in range(int(kv.RETRIES["max_retries"]))) < 60


def test_a_host_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for name, value in environment(f"http://127.0.0.1:{silent.getsockname()[1]}").items():
            monkeypatch.setenv(name, value)
        with pytest.raises(StoreError, match=r"^key: no answer within 0\.2 s$"):
            kv.finished(open_root("s3://bucket/store").read("key"), "key", 0.2)


@pytest.mark.parametrize("name", kv.ENDPOINTS)
def test_an_endpoint_comes_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for known in kv.ENDPOINTS:
        monkeypatch.delenv(known, raising=False)
    plain = open_root("s3://bucket/a%20b").spec().to_json()
    assert plain == {"driver": "s3", "bucket": "bucket", "path": "a b/"}
    monkeypatch.setenv(name, "http://127.0.0.1:1/")
    assert open_root("s3://bucket/a%20b").spec().to_json() == {**plain, "endpoint": "http://127.0.0.1:1"}
    assert "endpoint" not in open_root("gs://bucket/a").spec().to_json()


def test_many_objects_are_read_in_their_order(tmp_path: Path) -> None:
    root, count = open_root(str(tmp_path)), 3 * kv.READS_AT_ONCE + 1
    for number in range(count):
        kv.put(root, f"{number}.json", b'{"n": %d}' % number)
    found = kv.read_all_json(root, [f"{number}.json" for number in range(count + 1)], 100)
    assert list(found) == [*({"n": number} for number in range(count)), None]
    assert list(kv.read_all_json(root, [], 100)) == []
