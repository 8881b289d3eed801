"""Puts the published files of an encoder into its folder: from the hub, or from a folder."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from feature_export.weights.digests import sha256_of
from feature_export.weights.folder import root
from feature_export.weights.hub import CHUNK_BYTES, download, look_up
from feature_export.weights.local import find_local
from feature_export.weights.placing import alone_in, place
from feature_export.weights.published import Publication, PublishedFile, Repository
from feature_export.weights.record import write_record
from tunejury_jax.progress import progress

__all__ = ["fetch"]

_Item = tuple[Repository, PublishedFile]


def fetch(publication: Publication, source: Path | None = None) -> Path:
    """Completes the folder of an encoder's weights, checks every file in it, and records their commits.

    Args:
        publication: What to fetch.
        source: A folder to take the files from (see `find_local`); by default the hub.

    Returns:
        The folder.

    Raises:
        ValueError: A file cannot be had, or has other bytes than published.
    """
    folder = root() / publication.name
    with alone_in(folder):
        absent = [item for item in publication if not _is_there(folder, item)]
        if source:
            _take(publication, absent, folder, source)
        elif absent:
            _load(publication, absent, folder)
        write_record(folder, publication)
    return folder


def _is_there(folder: Path, item: _Item) -> bool:
    path, published = _target(folder, item), item[1].sha256
    if not path.is_file():
        return False
    if (sha256 := sha256_of(path)) != published:
        raise ValueError(f"{path}: has sha256 {sha256}, published is {published}; move it away and fetch again")
    return True


def _target(folder: Path, item: _Item) -> Path:
    repository, file = item
    return folder / repository.place(file.name)


def _take(publication: Publication, items: Sequence[_Item], folder: Path, source: Path) -> None:
    # All are found before any is put in place: half a folder helps nobody.
    found = [find_local(publication, repository, file, source) for repository, file in items]
    for path, item in zip(found, items, strict=True):
        place(path, _target(folder, item))


def _load(publication: Publication, items: Sequence[_Item], folder: Path) -> None:
    todo = [(look_up(repository, file), _target(folder, (repository, file))) for repository, file in items]
    left = [remote.left(target) for remote, target in todo]
    _require_room(folder, sum(left))
    chunks = sum(math.ceil(size / CHUNK_BYTES) for size in left)
    with progress(f"fetch {publication.name}", chunks, "MiB") as advance:
        for remote, target in todo:
            download(remote, target, advance)


def _require_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ValueError(
            f"{folder}: {size / 1e9:.2f} GB are to come and {free / 1e9:.2f} GB are free; "
            "make room, or set TUNEJURY_WEIGHTS to a folder on another disk"
        )
