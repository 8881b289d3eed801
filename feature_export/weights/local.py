"""Published files that already lie on this machine: in our layout, in a clone, or in a cache of the hub's client."""

from collections.abc import Iterator
from pathlib import Path

from feature_export.weights.digests import sha256_of
from feature_export.weights.published import Publication, PublishedFile, Repository

__all__ = ["find_local"]


def find_local(publication: Publication, repository: Repository, file: PublishedFile, source: Path) -> Path:
    """Looks for one published file in a folder: by its name, and of several by its digest.

    Args:
        publication: Of an encoder.
        repository: Of the publication.
        file: Of the repository.
        source: A folder in our layout or a root of such folders, a folder with the files or with folders of the
            repositories' names, a snapshot, or a cache of the hub's client.

    Raises:
        ValueError: It is not there, or only files of its name with other bytes.
    """
    candidates = dict.fromkeys(path for path in _candidates(publication, repository, file.name, source))
    found = {path: sha256_of(path) for path in candidates if path.is_file()}
    for path, sha256 in found.items():
        if sha256 == file.sha256:
            return path
    label = f"from: {repository.id}: {file.name}"
    if found:
        others = "; ".join(f"{path} has {sha256}" for path, sha256 in found.items())
        raise ValueError(f"{label}: published with sha256 {file.sha256}, but {others}")
    raise ValueError(f"{label} is not in {source}, nor in a hub cache inside it")


def _candidates(publication: Publication, repository: Repository, name: str, source: Path) -> Iterator[Path]:
    yield source / repository.place(name)
    yield source / publication.name / repository.place(name)
    yield source / repository.name / name
    yield source / name
    for cache in (source, source / "hub"):
        for cached in (repository.id.replace("/", "--"), repository.name):
            yield from sorted((cache / f"models--{cached}" / "snapshots").glob(f"*/{name}"))
