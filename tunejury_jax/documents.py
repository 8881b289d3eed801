"""Documents in files: JSON objects bounded in size and checked, text that is there as a whole or not at all."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["as_json", "fill_whole", "parse_object", "read_bounded", "read_object", "write_json", "write_whole"]


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Reads a file that must not be large.

    Raises:
        ValueError: It is larger than `max_bytes`.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise ValueError(f"{path}: {size} bytes, accepted are at most {max_bytes}")
    return path.read_bytes()


def read_object(path: Path, max_bytes: int) -> dict[str, Any]:
    """Reads a JSON object from a file.

    Raises:
        ValueError: Too large, not JSON, or not an object.
    """
    return parse_object(read_bounded(path, max_bytes), str(path), max_bytes)


def parse_object(data: bytes, name: str, max_bytes: int) -> dict[str, Any]:
    """Parses a JSON object.

    Args:
        data: UTF-8 text.
        name: Where it comes from, for messages.
        max_bytes: More is refused before it is parsed, which takes several times the memory.

    Raises:
        ValueError: Too large, not JSON (or nested too deeply), or not an object.
    """
    if len(data) > max_bytes:
        raise ValueError(f"{name}: {len(data)} bytes, accepted are at most {max_bytes}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{name}: expected a JSON object, got {type(document).__name__}")
    return document


def as_json(document: Any) -> Any:
    """The document as JSON will give it back: tuples as lists, keys as text."""
    return json.loads(json.dumps(document))


def write_json(path: Path, document: Any, sort_keys: bool = False) -> None:
    """Writes a document by `write_whole`, a value a line, for people to read too."""
    write_whole(path, json.dumps(document, indent=1, sort_keys=sort_keys) + "\n")


def write_whole(path: Path, data: str | bytes) -> None:
    """Writes a file that is there as a whole, the old or the new, whenever the process is killed."""
    fill_whole(path, lambda partial: partial.write_bytes(data.encode() if isinstance(data, str) else data))


def fill_whole(path: Path, fill: Callable[[Path], object]) -> None:
    """Lets `fill` write a file beside `path` and moves it there: like `write_whole`, for what writes files itself."""
    partial = path.with_name(f".{path.name}.partial")
    fill(partial)
    os.replace(partial, path)
