"""`fetched.json`: the commits that a folder of weights was completed from and checked against."""

from pathlib import Path

from feature_export.weights.published import Publication
from tunejury_jax.documents import read_object, write_json

__all__ = ["UNRECORDED", "read_revision", "write_record"]

FILE = "fetched.json"
MAX_BYTES = 1 << 16
UNRECORDED = "unrecorded"


def write_record(folder: Path, publication: Publication) -> None:
    """Records that a folder holds exactly what is published."""
    revisions = {repository.id: repository.revision for repository in publication.repositories}
    write_json(folder / FILE, {"revisions": revisions}, sort_keys=True)


def read_revision(folder: Path) -> str:
    """The recorded commits in one line: the only one, or `name@commit` of each repository, in alphabetical order.

    Raises:
        ValueError: The record is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return UNRECORDED
    revisions = read_object(path, MAX_BYTES).get("revisions")
    if not isinstance(revisions, dict) or not revisions or not all(isinstance(c, str) for c in revisions.values()):
        raise ValueError(f"{path}: revisions: expected commits by repository, got {revisions!r}; fetch again")
    if len(revisions) == 1:
        return next(iter(revisions.values()))
    return " ".join(f"{repository.rpartition('/')[2]}@{commit}" for repository, commit in sorted(revisions.items()))
