"""Labelled pairs: what a listener compared, what they said, and which split it belongs to.

A pairs file is JSON lines, one `Pair` a line. Required: `id`, `source`, `audio_a`, `audio_b`, `label`. A reader
that finds anything it does not know stops and says which file, line, field and value (formats.md).
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from tunejury_jax.documents import parse_object
from tunejury_jax.errors import one_of

__all__ = [
    "LABELS",
    "SPLITS",
    "TARGETS",
    "Clip",
    "Label",
    "Pair",
    "Span",
    "Split",
    "parse_pair",
    "read_pairs",
    "write_pairs",
]

Label = Literal["a", "b", "tie", "both_bad"]
Split = Literal["train", "valid", "test", "none"]
Span = tuple[float, float]

LABELS: tuple[Label, ...] = ("a", "b", "tie", "both_bad")
SPLITS: tuple[Split, ...] = ("train", "valid", "test", "none")
TARGETS: dict[Label, float] = {"a": 1.0, "b": 0.0, "tie": 0.5}
"""P(a preferred) that training aims at. `both_bad` has none: it is dropped unless it is asked for as a tie."""

MAX_LINE_BYTES = 1 << 20


class Clip(NamedTuple):
    """A piece of audio that is encoded once: a file of a source, or a span of it in seconds."""

    source: str
    path: str
    span: Span | None = None

    @property
    def key(self) -> str:
        """The clip's name in a store: `source/path`, with a media fragment where only a span was heard."""
        fragment = f"#t={_seconds(self.span[0])},{_seconds(self.span[1])}" if self.span else ""
        return f"{self.source}/{self.path}{fragment}"


def _seconds(value: float) -> str:
    """The shortest text that no other number has, so no other span has the key."""
    return repr(value).removesuffix(".0")


@dataclass(frozen=True)
class Pair:
    """One comparison: two clips, the prompt they answer, and the listener's choice.

    Attributes:
        id: Unique within a store.
        source: Data set of origin, for example `MusicPrefs`.
        audio_a: Path of the first clip below the audio root, with forward slashes; `audio_b` likewise.
        label: `a`, `b`, `tie` or `both_bad`.
        question: What was asked, where a source asks several things.
        prompt: Text both clips answer; empty where there was none.
        span_a: Seconds `(begin, end)` that were heard; None for the whole file. `span_b` likewise.
        split: `train`, `valid` or `test`; None where the record does not say.
    """

    id: str
    source: str
    audio_a: str
    audio_b: str
    label: Label
    question: str = ""
    prompt: str = ""
    lyrics: str = ""
    span_a: Span | None = None
    span_b: Span | None = None
    system_a: str | None = None
    system_b: str | None = None
    confidence: float | None = None
    rater: str | None = None
    time: str | None = None
    split: Split | None = None

    @property
    def clip_a(self) -> Clip:
        return Clip(self.source, self.audio_a, self.span_a)

    @property
    def clip_b(self) -> Clip:
        return Clip(self.source, self.audio_b, self.span_b)


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{field}: expected a non-empty string, got {value!r}")
    return _unicode(field, value)


def _free_text(field: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{field}: expected a string or null, got {value!r}")
    return _unicode(field, value)


def _unicode(field: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{field}: expected Unicode text, got a lone surrogate in {value!r}") from error
    return value


def _optional_text(field: str, value: Any) -> str | None:
    return None if value is None else _text(field, value)


def _relative_path(field: str, value: Any) -> str:
    path = PurePosixPath(_text(field, value))
    if path.is_absolute() or ".." in path.parts or "\\" in value:
        raise ValueError(
            f"{field}: expected a path below the audio root, with forward slashes and no '..', got {value!r}"
        )
    return str(path)


def _number(field: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{field}: expected a finite number, got {value!r}")
    return float(value)


def _optional_number(field: str, value: Any) -> float | None:
    return None if value is None else _number(field, value)


def _span(field: str, value: Any) -> Span | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"{field}: expected [begin_s, end_s] or null, got {value!r}")
    begin_s, end_s = _number(field, value[0]), _number(field, value[1])
    if not 0 <= begin_s < end_s:
        raise ValueError(f"{field}: expected 0 <= begin_s < end_s, got {value!r}")
    return begin_s, end_s


def _split(field: str, value: Any) -> Split | None:
    return None if value is None else one_of(field, value, SPLITS)


_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "id": _text,
    "source": _text,
    "audio_a": _relative_path,
    "audio_b": _relative_path,
    "label": lambda field, value: one_of(field, value, LABELS),
    "question": _free_text,
    "prompt": _free_text,
    "lyrics": _free_text,
    "span_a": _span,
    "span_b": _span,
    "system_a": _optional_text,
    "system_b": _optional_text,
    "confidence": _optional_number,
    "rater": _optional_text,
    "time": _optional_text,
    "split": _split,
}
_REQUIRED = tuple(field.name for field in dataclasses.fields(Pair) if field.default is dataclasses.MISSING)


def parse_pair(record: Mapping[str, Any]) -> Pair:
    """Checks one record and makes a `Pair` of it.

    Raises:
        ValueError: Names the first field that is unknown, missing or not acceptable, with its value.
    """
    for field in record:
        one_of("field", field, tuple(_PARSERS))
    for field in _REQUIRED:
        if field not in record:
            raise ValueError(f"{field}: missing, got only {sorted(record)}")
    return Pair(**{field: _PARSERS[field](field, value) for field, value in record.items()})


def read_pairs(path: Path) -> list[Pair]:
    """Reads a pairs file.

    Raises:
        ValueError: Quotes file, line, field and value; also for a pair id that occurs twice and an empty file.
    """
    pairs: dict[str, Pair] = {}
    lines: dict[str, int] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                pair = parse_pair(parse_object(line, "record", MAX_LINE_BYTES))
                if pair.id in pairs:
                    raise ValueError(f"id: {pair.id!r} occurs twice, first in line {lines[pair.id]}")
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            pairs[pair.id], lines[pair.id] = pair, number
    if not pairs:
        raise ValueError(f"{path}: holds no pairs, expected one JSON record a line")
    return list(pairs.values())


def write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """Writes a pairs file that `read_pairs` reads back unchanged; fields left at their default are omitted."""
    defaults = {field.name: field.default for field in dataclasses.fields(Pair)}
    with path.open("w", encoding="utf-8") as file:
        for pair in pairs:
            record = {k: v for k, v in dataclasses.asdict(pair).items() if v != defaults[k]}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
