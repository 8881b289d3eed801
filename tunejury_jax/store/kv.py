"""Key-value access to a store's folder or bucket: every byte of a store goes through here or through an array.

Only local paths, `file://`, `gs://` and `s3://` are opened. A TensorStore URL of another driver could make the
process talk to any host, so it is refused (store.md section 3.8).
"""

from pathlib import Path
from typing import Any

import tensorstore as ts

from tunejury_jax.documents import parse_object

__all__ = ["MAX_JSON_BYTES", "StoreError", "exists", "list_keys", "open_root", "put_if_absent", "read_json"]

SCHEMES = ("file", "gs", "s3")
MAX_JSON_BYTES = 1 << 20


class StoreError(ValueError):
    """A feature store that is missing, unfinished, damaged, hostile or made for something else."""


def open_root(location: str) -> ts.KvStore:
    """Opens the folder or bucket prefix that holds a store; nothing is created.

    Raises:
        ValueError: The URL's scheme is not one of `file`, `gs`, `s3`, or it names an adapter (`|zip:`).
    """
    scheme, found, _ = location.partition("://")
    if not found:  # not as a URL: there a % or # in the path has a meaning
        return ts.KvStore.open({"driver": "file", "path": f"{Path(location).resolve()}/"}).result()
    if scheme not in SCHEMES or "|" in location:
        raise ValueError(f"store: got {location!r}, accepted are a local path or a URL of {', '.join(SCHEMES)}")
    return ts.KvStore.open(location.rstrip("/") + "/").result()


def read_bytes(root: ts.KvStore, key: str, max_bytes: int) -> bytes | None:
    """Reads one object, or None where there is none.

    Raises:
        StoreError: It is larger than `max_bytes`.
    """
    if _state(root, key, max_bytes) == "value":  # asked first: TensorStore reads whole objects, or aborts on them
        raise StoreError(f"{key}: more than {max_bytes} bytes, which are accepted at most")
    result = root.read(key).result()
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


def exists(root: ts.KvStore, key: str) -> bool:
    return _state(root, key, 0) != "missing"


def put_if_absent(root: ts.KvStore, key: str, value: bytes) -> bool:
    """Writes an object unless one is there; returns whether this call wrote it.

    A refused conditional write raises nothing: its generation is empty, which is what is looked at.
    """
    current = root.read(key).result()
    if current.state == "value":
        return False
    return root.write(key, value, if_equal=current.stamp.generation).result().generation != b""


def list_keys(root: ts.KvStore, prefix: str) -> list[str]:
    """The keys that start with `prefix`, sorted."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return sorted(key.decode() for key in root.list(ts.KvStore.KeyRange(prefix, end)).result())


def _state(root: ts.KvStore, key: str, offset: int) -> str:
    """`value` if the object has a byte at `offset`, `short` if it ends before, `missing` if there is none."""
    try:
        return root.read(key, byte_range=slice(offset, offset + 1)).result().state
    except ValueError as error:
        if "OUT_OF_RANGE" in str(error):
            return "short"
        raise StoreError(f"{key}: cannot be read: {error}") from error
