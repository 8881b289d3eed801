"""AIME: survey answers in one data set, clips inside the parquet files of another. Raters heard ten seconds a side."""

import re
from pathlib import Path

from feature_export.sources.embedded import Embedded, read_embedded
from feature_export.sources.reading import Reading
from feature_export.sources.rows import Row, find_tables, read_rows
from tunejury_jax.errors import one_of
from tunejury_jax.pairs import Label, Pair, Span

__all__ = ["read_aime"]

QUESTIONS = ("Music Quality", "Text-Audio Alignment")
ANSWERS: dict[str, Label] = {"1": "a", "2": "b"}
HEARD_S = 10.0
_TIME = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d(?:\.\d+)?)")


def read_aime(data: Path, *, audio: Path, audio_out: Path | None = None, question: str | None = None) -> Reading:
    """Reads the survey; the pair of row n of the whole table, from 0, is `aime_n`, six digits.

    Args:
        data: The survey: a table, or the folder of its parts.
        audio: Folder with the parquet files of the clips.
        audio_out: Folder the clips are extracted to, whole; the pairs name the seconds that were heard.
        question: `Music Quality` or `Text-Audio Alignment`; both, as the paper has it, where None.

    Raises:
        ValueError: A file that is missing or not as published.
    """
    rows = [row for file in find_tables(data) for row in read_rows(file)]
    asked = {f"aime_{number:06d}": row for number, row in enumerate(rows) if _is_asked(row, question)}
    wanted = {_track(row, side) for row in asked.values() for side in (1, 2)}
    found = read_embedded(audio, lambda row: row.text("id"), wanted, audio_out)
    there = {pair_id: row for pair_id, row in asked.items() if {_track(row, 1), _track(row, 2)} <= found.clips.keys()}
    pairs = [_pair(pair_id, row, found.clips) for pair_id, row in there.items()]
    counts = {"rows": len(rows), "rows of another question": len(rows) - len(asked)} | found.counts
    counts |= {
        "segments that are not 10 s": sum(_length_s(span) != HEARD_S for p in pairs for span in (p.span_a, p.span_b)),
        "models that are not the clip's": sum(
            _differs(row, side, found.clips) for row in there.values() for side in (1, 2)
        ),
        "pairs without audio": len(asked) - len(pairs),
    }
    return Reading("AIME", pairs, counts, sorted(wanted - found.clips.keys()), audio_out)


def _is_asked(row: Row, question: str | None) -> bool:
    asked = one_of(f"{row.where}: question-type", row.get("question-type"), QUESTIONS)
    return question is None or asked == one_of("question", question, QUESTIONS)


def _pair(pair_id: str, row: Row, clips: dict[str, Embedded]) -> Pair:
    return row.pair(
        id=pair_id,
        source="AIME",
        audio_a=clips[_track(row, 1)].name,
        audio_b=clips[_track(row, 2)].name,
        label=_answer(row),
        question=row.text("question-type"),
        prompt=row.get("description"),
        span_a=_span(row, 1),
        span_b=_span(row, 2),
        system_a=row.text("model-1"),
        system_b=row.text("model-2"),
    )


def _answer(row: Row) -> Label:
    """A number in parquet is text in csv."""
    return Row(row.where, {"answer": _whole(row, "answer")}).code("answer", ANSWERS)


def _track(row: Row, side: int) -> str:
    return _whole(row, f"track-{side}-id").zfill(5)


def _whole(row: Row, field: str) -> str:
    """A whole number without sign, as text."""
    value = row.get(field)
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise row.refuse(field, "a whole number")
    return str(int(text))


def _span(row: Row, side: int) -> Span:
    begin_s, end_s = (_seconds(row, f"track-{side}-{end}") for end in ("begin", "end"))
    return begin_s, end_s


def _seconds(row: Row, field: str) -> float:
    match = _TIME.fullmatch(row.text(field).strip())
    if not match:
        raise row.refuse(field, "HH:MM:SS")
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])


def _length_s(span: Span | None) -> float | None:
    return span[1] - span[0] if span else None


def _differs(row: Row, side: int, clips: dict[str, Embedded]) -> bool:
    return clips[_track(row, side)].row.get("model") != row.get(f"model-{side}")
