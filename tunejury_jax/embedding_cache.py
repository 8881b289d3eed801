"""Embeddings that were made before: a folder of small files, one an embedding, named by what was heard and by whom.

    ROOT/BLOCK-FINGERPRINT/KE/KEY      float32, little-endian, and the CRC-32C of those bytes

A file appears whole, by a rename, so a killed process leaves no half of one and any number of processes may read and
write one folder. There is no index that they could disagree on. A file that does not match its checksum is taken for
absent and made again.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from google_crc32c import value as crc32c
from jaxtyping import Float

__all__ = ["Column", "EmbeddingCache", "clip_key", "prompt_key"]

_CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class Column:
    """What one encoder makes: the fingerprint of its provenance, and how many numbers."""

    fingerprint: str
    dim: int


@dataclass(frozen=True)
class EmbeddingCache:
    """The embeddings of some encoders; picklable, and without a state of its own.

    Attributes:
        root: Folder; made when something is put into it.
        columns: By block.
    """

    root: Path
    columns: Mapping[str, Column]

    def get(self, key: str) -> dict[str, Float[np.ndarray, " _"]]:
        """What there is under a key, by block."""
        found = {block: self._read(block, key) for block in self.columns}
        return {block: values for block, values in found.items() if values is not None}

    def put(self, key: str, features: Mapping[str, Float[np.ndarray, " _"]]) -> None:
        """Adds what is not there yet; blocks of other encoders are passed over."""
        for block in self.columns.keys() & features.keys():
            if self._read(block, key) is None:
                _write(self._path(block, key), features[block])

    def _path(self, block: str, key: str) -> Path:
        return self.root / f"{block}-{self.columns[block].fingerprint}" / key[:2] / key

    def _read(self, block: str, key: str) -> Float[np.ndarray, " dim"] | None:
        wanted = self.columns[block].dim * np.dtype("<f4").itemsize + _CHECKSUM_BYTES
        try:
            with self._path(block, key).open("rb") as file:
                data = file.read(wanted + 1)
        except FileNotFoundError:
            return None
        values, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
        if len(data) != wanted or crc32c(values) != int.from_bytes(checksum, "little"):
            return None
        return np.frombuffer(values, "<f4").astype(np.float32)


def clip_key(audio_sha256: str, span_s: tuple[float, float] | None) -> str:
    """The key of a clip: the digest of its file, and the span of it that is heard."""
    return audio_sha256 if span_s is None else _digest(f"{audio_sha256} {span_s[0]!r} {span_s[1]!r}")


def prompt_key(prompt: str) -> str:
    """The key of a prompt."""
    return _digest(prompt)


def _digest(text: str) -> str:
    # A lone surrogate is legal in JSON.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _write(path: Path, values: Float[np.ndarray, " dim"]) -> None:
    data = values.astype("<f4").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: two processes may write the same embedding at once.
    handle, partial = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data + crc32c(data).to_bytes(_CHECKSUM_BYTES, "little"))
    os.replace(partial, path)
