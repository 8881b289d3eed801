"""Files appear whole or not at all: written under another name, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["alone_in", "place"]


def place(source: Path, target: Path) -> None:
    """Puts a file at another path: the same bytes on disk where that is possible, a copy where it is not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        _link_or_copy(source.resolve(), draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _link_or_copy(source: Path, target: Path) -> None:
    with suppress(OSError):  # another disk, or one without hard links
        os.link(source, target)
        return
    shutil.copyfile(source, target)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keeps other processes from changing a folder at the same time; one that was killed does not count.

    Raises:
        ValueError: Another process is at it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise ValueError(f"{folder}: another process is putting files there; wait until it has finished") from error
