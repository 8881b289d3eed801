"""Prompts that clips are generated for, each with an id that names its clips."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tunejury_jax.documents import read_bounded
from tunejury_jax.errors import one_of

__all__ = ["PREFIX", "Prompt", "read_prompts"]

PREFIX = "high quality instrumental music, "
"""What the published runs put before every prompt, for generation and for scoring."""

FIELDS = ("prompt_id", "prompt")
MAX_BYTES = 64 << 20
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Prompt(NamedTuple):
    """What a clip is to be.

    Attributes:
        id: Letters, digits, `.`, `_` and `-`: part of the names of files.
        text: Not blank.
    """

    id: str
    text: str


def read_prompts(path: Path) -> list[Prompt]:
    """Reads prompts.

    Args:
        path: `.json`, a list of `{"prompt_id": ..., "prompt": ...}` as published with TuneJury; `.jsonl`, one such
            object a line; or `.txt`, one prompt a line, whose ids are 0, 1, ... Further fields are passed over.

    Raises:
        ValueError: Another suffix or shape, a blank prompt, an id that cannot name a file or occurs twice, no prompt.
    """
    records = _READERS[one_of("prompts: suffix", path.suffix.lower(), tuple(_READERS))]
    prompts: dict[str, Prompt] = {}
    for where, record in records(path):
        prompt = _prompt(where, record)
        if prompts.setdefault(prompt.id, prompt) is not prompt:
            raise ValueError(f"{where}: prompt_id: {prompt.id!r} occurs twice, expected once")
    if not prompts:
        raise ValueError(f"{path}: holds no prompt")
    return list(prompts.values())


def _prompt(where: str, record: Any) -> Prompt:
    if not isinstance(record, dict) or not set(FIELDS) <= record.keys():
        shown = sorted(record) if isinstance(record, dict) else type(record).__name__
        raise ValueError(f"{where}: expected an object with {' and '.join(FIELDS)}, got {shown}")
    own, text = (record[name] for name in FIELDS)
    if isinstance(own, bool) or not isinstance(own, int | str) or not ID.fullmatch(str(own)):
        raise ValueError(
            f"{where}: prompt_id: got {own!r}, accepted are a number from 0 or 1 to 64 of A-Z a-z 0-9 . _ -"
        )
    if not isinstance(text, str) or not text.strip() or LONE_SURROGATE.search(text):
        raise ValueError(f"{where}: prompt: got {text!r}, expected a text")
    return Prompt(str(own), text)


def _listed(path: Path) -> Iterator[tuple[str, Any]]:
    records = _parsed(str(path), _text(path))
    if not isinstance(records, list):
        raise ValueError(f"{path}: expected a list of objects, got {type(records).__name__}")
    return ((f"{path}, prompt {number}", record) for number, record in enumerate(records, 1))


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines that are not blank, and where they are."""
    numbered = enumerate(_text(path).split("\n"), 1)
    return ((f"{path}, line {number}", line.strip()) for number, line in numbered if line.strip())


def _parsed_lines(path: Path) -> Iterator[tuple[str, Any]]:
    return ((where, _parsed(where, line)) for where, line in _lines(path))


def _plain_lines(path: Path) -> Iterator[tuple[str, Any]]:
    return ((where, {"prompt_id": own, "prompt": line}) for own, (where, line) in enumerate(_lines(path)))


_READERS: dict[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
    ".json": _listed,
    ".jsonl": _parsed_lines,
    ".txt": _plain_lines,
}


def _text(path: Path) -> str:
    try:
        return read_bounded(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8: {error}") from error


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON: {error}") from error
