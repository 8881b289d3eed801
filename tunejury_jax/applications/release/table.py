"""A table of scores that grows a row at a time and continues after it was cut off.

Beside it stands its record (`tunejury_jax.released_scores`): what made the scores, and how many there are.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunejury_jax.documents import as_json, write_json, write_whole
from tunejury_jax.released_scores import ID, SCORE, read_record, read_rows, record_path
from tunejury_jax.store.plan import difference

__all__ = ["ReleaseTable"]


class ReleaseTable:
    """Appends rows to a CSV, each as a whole."""

    def __init__(self, path: Path, columns: Sequence[str], identity: Mapping[str, Any]) -> None:
        """Opens a table, or begins one.

        Args:
            path: The CSV. A row that was cut off at its end is removed.
            columns: Its header.
            identity: What makes the scores; a table that something else made is not continued.

        Raises:
            ValueError: There is a table that this one cannot continue; says why.
        """
        self.path, self.columns, self.identity = path, tuple(columns), as_json(dict(identity))
        self.done = frozenset(self._continued() if path.exists() else self._begun())

    def add(self, track_id: str, reward: float, extra: Mapping[str, str]) -> None:
        """Appends a row; columns of which nothing is known stay empty."""
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(self._line({**extra, ID: track_id, SCORE: repr(reward)}))

    def conclude(self, counts: Mapping[str, int], failures: Mapping[str, str]) -> None:
        """Records how it went."""
        self._record({**self.identity, "counts": dict(counts), "failures": dict(failures)})

    def _begun(self) -> Sequence[str]:
        self._record(self.identity)
        write_whole(self.path, self._line({name: name for name in self.columns}))
        return ()

    def _continued(self) -> Sequence[str]:
        record = read_record(self.path)
        made = {name: value for name, value in record.items() if name in self.identity}
        if lines := difference(made, self.identity):
            raise ValueError(f"out: {self.path} was made otherwise ({'; '.join(lines)}); name a new file")
        self._drop_what_was_cut_off()
        rows = read_rows(self.path, (ID, SCORE))
        if rows.columns != self.columns:
            raise ValueError(f"out: {self.path} has the columns {rows.columns}, expected {self.columns}")
        return tuple(rows.by_id)

    def _drop_what_was_cut_off(self) -> None:
        with self.path.open("rb+") as file:
            file.truncate(_whole_bytes(file.read()))

    def _line(self, row: Mapping[str, str]) -> str:
        line = io.StringIO(newline="")
        csv.DictWriter(line, self.columns, restval="", extrasaction="ignore").writerow(row)
        return line.getvalue()

    def _record(self, document: Mapping[str, Any]) -> None:
        write_json(record_path(self.path), document)


def _whole_bytes(data: bytes) -> int:
    """Length of the records that are whole: a newline inside quotes ends none."""
    whole = position = quotes = 0
    for line in data.splitlines(keepends=True):
        position, quotes = position + len(line), quotes + line.count(b'"')
        if line.endswith(b"\n") and quotes % 2 == 0:
            whole = position
    return whole
