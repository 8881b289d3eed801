"""Rows of numbers as comma-separated values."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["as_csv", "flat_rows"]

Row = dict[str, Any]


def flat_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows with a column a number: an estimate `reward` becomes `reward`, `reward_low`, `reward_high`, `reward_n`."""
    for row in rows:
        flat = {}
        for name, value in row.items():
            if isinstance(value, Mapping):
                flat |= {name: value["value"], **{f"{name}_{part}": value[part] for part in ("low", "high", "n")}}
            else:
                flat[name] = value
        yield flat


def as_csv(rows: Iterable[Row]) -> str:
    """Rows as comma-separated values; the columns are those of all rows, and what a row lacks stays empty."""
    rows, text = list(rows), io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
