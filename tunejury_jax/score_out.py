"""Rows of scores in a file, csv or jsonl: only ever appended to, so a killed run goes on where it was."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from tunejury_jax.errors import one_of
from tunejury_jax.score_files import IDENTITY, ScoreRow

__all__ = ["ScoreFile"]

COLUMNS = tuple(field.name for field in fields(ScoreRow))


class ScoreFile:
    """The file of a run, opened for appending; a half line at its end is dropped.

    Attributes:
        present: How many rows it has.
    """

    def __init__(self, path: Path, planned: Iterable[ScoreRow]) -> None:
        """Opens a file, or begins one.

        Args:
            path: `.csv` or `.jsonl`.
            planned: All rows of the run, in order, without what becomes of them.

        Raises:
            ValueError: Another suffix, or the file has rows of another run: of other inputs, prompts or another head.
        """
        self._format = _FORMATS[one_of("out: suffix", path.suffix.lower(), tuple(_FORMATS))]()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab+")
        try:
            self.present = self._resume(path, planned)
        except BaseException:
            self._file.close()
            raise

    def append(self, row: ScoreRow) -> None:
        """Adds a row; it is in the file when this returns."""
        self._file.write(self._format.line(row.to_json()))
        self._file.flush()

    def __enter__(self) -> "ScoreFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def _resume(self, path: Path, planned: Iterable[ScoreRow]) -> int:
        self._file.seek(0)
        records = self._format.records(self._file)
        header, end, present = self._format.header(), 0, 0
        expected = iter(planned)
        for number, record in enumerate(records):
            begins = header if header and not number else self._beginning(path, next(expected, None))
            if not record.startswith(begins):
                raise ValueError(
                    f"out: {path}, line {number + 1}, is not of this run but of other inputs, prompts or "
                    "another head; name a new file"
                )
            end, present = end + len(record), present + (begins is not header)
        self._file.truncate(end)
        if header and not end:
            self._file.write(header)
            self._file.flush()
        return present

    def _beginning(self, path: Path, row: ScoreRow | None) -> bytes:
        if row is None:
            raise ValueError(f"out: {path} has more rows than this run; name a new file")
        return self._format.beginning(row.to_json())


class _Jsonl:
    """One JSON object a line."""

    def header(self) -> bytes:
        return b""

    def line(self, row: dict[str, Any]) -> bytes:
        return json.dumps(row).encode() + b"\n"

    def beginning(self, row: dict[str, Any]) -> bytes:
        """How the line of a row begins, whatever becomes of it."""
        return json.dumps(dict(list(row.items())[:IDENTITY])).encode()[:-1] + b", "

    def records(self, file: BinaryIO) -> Iterator[bytes]:
        """Whole lines."""
        return (line for line in file if line.endswith(b"\n"))


class _Csv:
    """A header and one record a row; lists are joined by semicolons."""

    def header(self) -> bytes:
        return _record(COLUMNS)

    def line(self, row: dict[str, Any]) -> bytes:
        return _record(map(_cell, row.values()))

    def beginning(self, row: dict[str, Any]) -> bytes:
        """How the record of a row begins, whatever becomes of it."""
        return _record(map(_cell, list(row.values())[:IDENTITY]))[:-1] + b","

    def records(self, file: BinaryIO) -> Iterator[bytes]:
        """Whole records: a text in quotes may have line ends of its own."""
        record = b""
        for line in file:
            record += line
            if record.endswith(b"\n") and record.count(b'"') % 2 == 0:
                yield record
                record = b""


_FORMATS: dict[str, type[_Jsonl] | type[_Csv]] = {".csv": _Csv, ".jsonl": _Jsonl}


def _record(cells: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case dict():
            return ";".join(f"{name}={each}" for name, each in value.items())
        case tuple() | list():
            return ";".join(value)
        case _:
            return str(value)
