"""Key-value access to a store's folder or bucket: every byte of a store goes through here or through an array.

Only local paths, `file://`, `gs://` and `s3://` are opened. A TensorStore URL of another driver could make the
process talk to any host, so it is refused (store.md section 3.8). Buckets of another host than Amazon's are reached
through AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL; credentials come from where the cloud's own tools find them, and stand
in no location. A host that does not answer is given up after half a minute, not retried for hours.
"""

import functools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import tensorstore as ts

from tunejury_jax.documents import parse_object

__all__ = [
    "DATA_TIMEOUT_S",
    "MAX_JSON_BYTES",
    "StoreError",
    "context",
    "exists",
    "finished",
    "generation",
    "list_keys",
    "open_root",
    "put",
    "put_if_absent",
    "put_if_unchanged",
    "read_all_json",
    "read_json",
]

SCHEMES = ("file", "gs", "s3")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
RETRIES = {"max_retries": 10, "initial_delay": "200ms", "max_delay": "5s"}  # about 30 seconds in all
TIMEOUT_S = 60.0
DATA_TIMEOUT_S = 600.0
MAX_JSON_BYTES = 1 << 20
READS_AT_ONCE = 32


class StoreError(ValueError):
    """A feature store that is missing, unfinished, damaged, hostile or made for something else."""


def open_root(location: str) -> ts.KvStore:
    """Opens the folder or bucket prefix that holds a store; nothing is created.

    Raises:
        ValueError: The URL's scheme is not one of `file`, `gs`, `s3`, or it names an adapter (`|zip:`).
    """
    scheme, found, _ = location.partition("://")
    if not found:  # not as a URL: there a % or # in the path has a meaning
        return _open({"driver": "file", "path": f"{Path(location).resolve()}/"}, location)
    if scheme not in SCHEMES or "|" in location:
        raise ValueError(f"store: got {location!r}, accepted are a local path or a URL of {', '.join(SCHEMES)}")
    spec = ts.KvStore.Spec(location.rstrip("/") + "/").to_json()
    return _open({**spec, **_endpoint()} if scheme == "s3" else spec, location)


@functools.cache
def context() -> ts.Context:
    """What every array and object is opened with: how often a request is tried again. Made late: it starts threads."""
    return ts.Context({"s3_request_retries": RETRIES, "gcs_request_retries": RETRIES})


def finished(future: Any, what: str, timeout_s: float = TIMEOUT_S) -> Any:
    """The result of a TensorStore operation.

    Args:
        future: The operation.
        what: Object or location, for the message.
        timeout_s: How long it may take.

    Raises:
        StoreError: It failed, or did not end in time.
    """
    try:
        return future.result(timeout=timeout_s)
    except TimeoutError as error:
        raise StoreError(f"{what}: no answer within {timeout_s:g} s") from error
    except ValueError as error:
        raise StoreError(f"{what}: {error}") from error


def read_bytes(root: ts.KvStore, key: str, max_bytes: int) -> bytes | None:
    """Reads one object, or None where there is none.

    Raises:
        StoreError: It is larger than `max_bytes`.
    """
    if _state(root, key, max_bytes) == "value":  # asked first: TensorStore reads whole objects, or aborts on them
        raise StoreError(f"{key}: more than {max_bytes} bytes, which are accepted at most")
    result = finished(root.read(key), key, DATA_TIMEOUT_S)
    return result.value if result.state == "value" else None


def read_json(root: ts.KvStore, key: str, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any] | None:
    """Reads one JSON object, or None where there is none.

    Raises:
        StoreError: Too large, not JSON, or not an object.
    """
    data = read_bytes(root, key, max_bytes)
    if data is None:
        return None
    try:
        return parse_object(data, key, max_bytes)
    except ValueError as error:
        raise StoreError(str(error)) from error


def read_all_json(root: ts.KvStore, keys: Iterable[str], max_bytes: int) -> Iterator[dict[str, Any] | None]:
    """`read_json` of many objects, in their order; some are read at a time, for a bucket answers late."""
    left = iter(keys)
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        while window := list(islice(left, READS_AT_ONCE)):  # not all at once: they may fill the memory
            yield from pool.map(lambda key: read_json(root, key, max_bytes), window)


def exists(root: ts.KvStore, key: str) -> bool:
    return _state(root, key, 0) != "missing"


def put_if_absent(root: ts.KvStore, key: str, value: bytes) -> bool:
    """Writes an object unless one is there; returns whether this call wrote it."""
    current = finished(root.read(key), key)
    return current.state != "value" and put_if_unchanged(root, key, value, current.stamp.generation)


def generation(root: ts.KvStore, key: str) -> bytes:
    """What to write `put_if_unchanged` with, read before the object itself."""
    return finished(root.read(key, byte_range=slice(0, 1)), key).stamp.generation


def put_if_unchanged(root: ts.KvStore, key: str, value: bytes, before: bytes) -> bool:
    """Writes an object unless it changed since it was read; returns whether this call wrote it.

    A refused conditional write raises nothing: its generation is empty, which is what is looked at.
    """
    return finished(root.write(key, value, if_equal=before), key).generation != b""


def put(root: ts.KvStore, key: str, value: bytes) -> None:
    """Writes an object, whatever is there."""
    finished(root.write(key, value), key, DATA_TIMEOUT_S)


def list_keys(root: ts.KvStore, prefix: str) -> list[str]:
    """The keys that start with `prefix`, sorted."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return sorted(key.decode() for key in finished(root.list(ts.KvStore.KeyRange(prefix, end)), prefix, DATA_TIMEOUT_S))


def _state(root: ts.KvStore, key: str, offset: int) -> str:
    """`value` if the object has a byte at `offset`, `short` if it ends before, `missing` if there is none."""
    try:
        return finished(root.read(key, byte_range=slice(offset, offset + 1)), f"{key}: cannot be read").state
    except StoreError as error:
        if "OUT_OF_RANGE" in str(error):
            return "short"
        raise


def _open(spec: dict[str, Any], location: str) -> ts.KvStore:
    return finished(ts.KvStore.open(spec, context=context()), location)


def _endpoint() -> dict[str, str]:
    """Where an S3-alike is; nothing where the environment names none, that is for Amazon's own."""
    named = [os.environ[name] for name in ENDPOINTS if os.environ.get(name)]
    return {"endpoint": named[0].rstrip("/")} if named else {}
