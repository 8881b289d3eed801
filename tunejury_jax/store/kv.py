"""Key-value access to a store's folder or bucket: every byte of a store goes through here or through an array.

Only local paths, `file://`, `gs://` and `s3://` are opened. A TensorStore URL of another driver could make the
process talk to any host, so it is refused (store.md section 3.8).
"""

import json
from pathlib import Path
from typing import Any

import tensorstore as ts

__all__ = ["MAX_JSON_BYTES", "StoreError", "exists", "list_keys", "open_root", "put_if_absent", "read_json"]

SCHEMES = ("file", "gs", "s3")
MAX_JSON_BYTES = 1 << 20


class StoreError(ValueError):
    """A feature store that is missing, unfinished, damaged, hostile or made for something else."""


def open_root(location: str) -> ts.KvStore:
    """Opens the folder or bucket prefix that holds a store; nothing is created.

    Raises:
        ValueError: The URL's scheme is not one of `file`, `gs`, `s3`.
    """
    scheme, found, _ = location.partition("://")
    if found and scheme not in SCHEMES:
        raise ValueError(f"store: got {location!r}, accepted are a local path or a URL of {', '.join(SCHEMES)}")
    url = location if found else f"file://{Path(location).resolve()}"
    return ts.KvStore.open(url.rstrip("/") + "/").result()


def read_bytes(root: ts.KvStore, key: str, max_bytes: int) -> bytes | None:
    """Reads one object, or None where there is none.

    Raises:
        StoreError: It is larger than `max_bytes`.
    """
    result = root.read(key).result()
    if result.state != "value":
        return None
    if len(result.value) > max_bytes:
        raise StoreError(f"{key}: {len(result.value)} bytes, accepted are at most {max_bytes}")
    return result.value


def read_json(root: ts.KvStore, key: str, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any] | None:
    """Reads one JSON object, or None where there is none.

    Raises:
        StoreError: Too large, not JSON, or not an object.
    """
    data = read_bytes(root, key, max_bytes)
    if data is None:
        return None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{key}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise StoreError(f"{key}: expected a JSON object, got {type(document).__name__}")
    return document


def exists(root: ts.KvStore, key: str) -> bool:
    return root.read(key).result().state == "value"


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
