"""The embeddings of a set of clips, and what made them: of a store, of a file, or made of audio
(`tunejury_jax.applications.clip_embeddings`)."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from jaxtyping import Float

from tunejury_jax.documents import read_bounded, write_whole
from tunejury_jax.selection import Embedding
from tunejury_jax.store.plan import difference

__all__ = ["STORED_BLOCKS", "Embeddings"]

STORED_BLOCKS: dict[Embedding, str] = {
    "clap": "clap_audio",
    "mert": "mert",
    "muq": "muq_audio",
    "mel": "mel_baseline",
}
"""The block of a store that holds it; stores have MERT with TuneJury's pooling only."""

FORMAT, VERSION = "tunejury-embeddings", 1
MAX_BYTES = 4 << 30


@dataclass(frozen=True)
class Embeddings:
    """A row a clip.

    Attributes:
        values: The rows.
        ids: What the clips are called.
        name: Which embedding it is.
        provenance: Of its encoder: only rows of equal provenance compare.
    """

    values: Float[np.ndarray, "clips dim"]
    ids: tuple[str, ...]
    name: Embedding
    provenance: Mapping[str, Any]

    def require_made_as(self, other: "Embeddings") -> None:
        """Raises a ValueError if another encoder made the other ones; says how they differ."""
        ours, theirs = ({"embedding": each.name, **each.provenance} for each in (self, other))
        if lines := difference(theirs, ours):
            raise ValueError(f"reference: made by another encoder than the clips': {'; '.join(lines)}")

    def save(self, path: Path) -> None:
        """Writes a file (.npz) that is there as a whole or not at all."""
        record = {"format": FORMAT, "version": VERSION, "ids": self.ids, "name": self.name}
        data = io.BytesIO()
        text = json.dumps({**record, "provenance": dict(self.provenance)})
        np.savez(data, allow_pickle=False, values=self.values.astype(np.float32), record=np.array(text))
        write_whole(path, data.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Embeddings":
        """Reads a file that `save` wrote.

        Raises:
            ValueError: Not such a file, or damaged.
        """
        try:
            with np.load(io.BytesIO(read_bounded(path, MAX_BYTES)), allow_pickle=False) as file:
                return _parsed(file["values"], json.loads(str(file["record"])))
        except (ValueError, KeyError, TypeError, AttributeError, MemoryError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: not a file of tunejury metrics reference, or damaged: {error}") from error


def _parsed(values: np.ndarray, record: dict[str, Any]) -> Embeddings:
    if (record["format"], record["version"]) != (FORMAT, VERSION):
        raise ValueError(f"got format {record['format']!r}, version {record['version']!r}")
    if values.dtype != np.float32 or values.ndim != 2 or len(values) != len(record["ids"]):
        raise ValueError(f"got {values.dtype} of shape {values.shape} for {len(record['ids'])} clips")
    if record["name"] not in get_args(Embedding) or not isinstance(record["provenance"], dict):
        raise ValueError(f"name or provenance: got {record['name']!r}, {record['provenance']!r}")
    return Embeddings(values, tuple(map(str, record["ids"])), record["name"], record["provenance"])
