"""The sha256 of files that take seconds to read: once a process, unless the file changes."""

import hashlib
from functools import lru_cache
from pathlib import Path

__all__ = ["sha256_of"]


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal; remembered while its path, size and time of change stay.

    Raises:
        OSError: There is no such file, or it cannot be read.
    """
    facts = path.stat()
    return _sha256(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
