"""A folder of weights, as the encoders see it."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from feature_export.weights.digests import sha256_of
from feature_export.weights.published import publication
from feature_export.weights.record import read_revision

__all__ = ["Weights", "find_weights", "root"]

VARIABLE = "TUNEJURY_WEIGHTS"


def root() -> Path:
    """Folder of all weights: the environment variable TUNEJURY_WEIGHTS, or ~/.cache/tunejury/weights."""
    given = os.environ.get(VARIABLE, "")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "tunejury" / "weights"


@dataclass(frozen=True)
class Weights:
    """The published files that one family of encoders reads.

    Attributes:
        name: The family's.
        folder: Where the files lie.
        revision: The commits they were published as, recorded when they were fetched; "unrecorded" if put there by
            hand.
    """

    name: str
    folder: Path
    revision: str

    def file(self, relative: str) -> Path:
        """The path of a file.

        Raises:
            ValueError: There is no such file; says how to fetch it.
        """
        path = self.folder / relative
        if not path.is_file():
            raise ValueError(f"weights: {path} is not there; get it with: tunejury encoders fetch {self.name}")
        return path

    def sha256(self, *relatives: str) -> str:
        """One sha256 over the names and digests of some files, in hexadecimal; their order does not matter.

        Raises:
            ValueError: A file is not there.
        """
        lines = (f"{sha256_of(self.file(relative))}  {relative}\n" for relative in sorted(relatives))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def find_weights(name: str) -> Weights:
    """The weights of a family; that its files are there is checked when they are asked for.

    Args:
        name: One of `PUBLICATIONS`.

    Raises:
        ValueError: Unknown name, or the record of what was fetched is damaged.
    """
    folder = root() / publication(name).name
    return Weights(name, folder, read_revision(folder))
