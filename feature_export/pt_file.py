"""One of upstream's feature files: tensors and texts of one pair, read without running what a pickle asks for."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from tunejury_jax.blocks import Layout
from tunejury_jax.documents import read_bounded
from tunejury_jax.errors import one_of
from tunejury_jax.pairs import Label, Pair, parse_pair

__all__ = ["SIDES", "SOURCES", "PtFile", "read_pt"]

SIDES = ("a", "b")
MAX_BYTES = 1 << 20  # a file has about 20 KB; also the limit of what it unpacks to
TEXTS = ("uuid", "source", "prompt", "winner")
SOURCES = ("MusicArena", "MusicPrefs", "AIME", "SongEval")
WINNERS: dict[str, Label] = {"model_a": "a", "model_b": "b", "tie": "tie"}
_DIMS = {block.name: block.dim for block in Layout.of(["clap_audio", "mert", "clap_text"]).blocks}
VECTORS = {
    "text_emb": _DIMS["clap_text"],
    **{f"clap_{side}": _DIMS["clap_audio"] for side in SIDES},
    **{f"mert_{side}": _DIMS["mert"] for side in SIDES},
    "flag": 1,
}


class PtFile(NamedTuple):
    """A pair and its features.

    Attributes:
        pair: In no split; its clips are called by its id and side.
        vectors: `text_emb`, `clap_a`, `clap_b`, `mert_a`, `mert_b`, and `flag`, which only says whether the source
            has prompts.
        sha256: Of the file.
    """

    pair: Pair
    vectors: Mapping[str, Float[np.ndarray, " _"]]
    sha256: str


def read_pt(path: Path) -> PtFile:
    """Reads and checks a file.

    Raises:
        ValueError: Too large, damaged, holds more than tensors and plain values, or not such features; names the file.
    """
    data = read_bounded(path, MAX_BYTES)
    try:
        document = _load(data)
        vectors = {field: _vector(document, field, dim) for field, dim in VECTORS.items()}
        pair = _pair(path.stem, document)
        if not pair.prompt.strip() and vectors["text_emb"].any():
            raise ValueError(f"text_emb: expected zeros, for the prompt is {pair.prompt!r}")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return PtFile(pair, vectors, hashlib.sha256(data).hexdigest())


def _load(data: bytes) -> Mapping[str, Any]:
    _check_unpacked(data)
    try:
        document = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises whatever its bytes lead to
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"damaged, or holds more than tensors and plain values: {reason}") from error
    if not isinstance(document, dict):
        raise ValueError(f"expected a dictionary, got {type(document).__name__}")
    if missing := [field for field in (*VECTORS, *TEXTS) if field not in document]:
        raise ValueError(f"{', '.join(missing)}: missing, got only {sorted(map(str, document))}")
    return document


def _check_unpacked(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ValueError(f"expected an archive of torch.save: {error}") from error
    if size > MAX_BYTES:
        raise ValueError(f"{size} bytes unpacked, accepted are at most {MAX_BYTES}")


def _vector(document: Mapping[str, Any], field: str, dim: int) -> Float[np.ndarray, " _"]:
    """A float32 vector, or a matrix of one row; as the bits are."""
    value = document[field]
    if not isinstance(value, torch.Tensor) or value.dtype != torch.float32 or value.layout != torch.strided:
        raise ValueError(f"{field}: expected a float32 tensor, got {getattr(value, 'dtype', type(value).__name__)}")
    if tuple(value.shape) not in ((dim,), (1, dim)):
        raise ValueError(f"{field}: expected the shape ({dim},), got {tuple(value.shape)}")
    vector = value.detach().reshape(dim).numpy().copy()
    if not np.isfinite(vector).all():
        raise ValueError(f"{field}: {int((~np.isfinite(vector)).sum())} of {dim} values are not finite")
    return vector


def _pair(name: str, document: Mapping[str, Any]) -> Pair:
    if document["uuid"] != name:
        raise ValueError(f"uuid: expected that of the file name, {name!r}, got {document['uuid']!r:.200}")
    fields = {f"audio_{side}": f"{name}-{side}" for side in SIDES}
    source = one_of("source", document["source"], SOURCES)
    label = WINNERS[one_of("winner", document["winner"], tuple(WINNERS))]
    return parse_pair({"id": name, "source": source, "label": label, "prompt": document["prompt"]} | fields)
