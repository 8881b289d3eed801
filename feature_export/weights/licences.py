"""Licences that forbid commercial use are accepted in words, once, before their weights are used."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from feature_export.weights.folder import root
from feature_export.weights.published import Publication, publication_of_block
from tunejury_jax.documents import read_object, write_json

__all__ = ["accept", "accepted", "require_accepted", "sentence"]

FILE = "licences.json"
MAX_BYTES = 1 << 16


def sentence(publication: Publication) -> str:
    """What a user says who accepts the licence."""
    return f"I accept {publication.licence} for {publication.weights}"


def accepted(publication: Publication) -> bool:
    """Whether the weights may be used: their licence allows all use, or was accepted as it is now."""
    said = _read().get(publication.name)
    return publication.commercial or (isinstance(said, dict) and said.get("sentence") == sentence(publication))


def accept(publication: Publication, said: str) -> None:
    """Records that a user accepts the licence.

    Raises:
        ValueError: It was not said in the words of `sentence`.
    """
    if said.strip().strip("\"'.") != sentence(publication):
        raise ValueError(f"accept: got {said!r}, expected the words {sentence(publication)!r}")
    record = _read() | {publication.name: {"sentence": sentence(publication), "date": _today()}}
    root().mkdir(parents=True, exist_ok=True)
    write_json(_path(), record, sort_keys=True)


def require_accepted(blocks: Iterable[str]) -> None:
    """Lets the weights of some blocks be used.

    Raises:
        ValueError: The licence of one of them was not accepted; says how.
    """
    publications = dict.fromkeys(map(publication_of_block, blocks))
    for publication in filter(None, publications):
        if not accepted(publication):
            command = f'tunejury encoders fetch {publication.name} --accept "{sentence(publication)}"'
            terms = f"{publication.weights} is published under {publication.licence}, for non-commercial use only"
            raise ValueError(f"licence: {terms}; if you accept that: {command}")


def _path() -> Path:
    return root() / FILE


def _read() -> dict[str, object]:
    return read_object(_path(), MAX_BYTES) if _path().is_file() else {}


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
