"""A pairs file of published labels, and the report of how it came about."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from feature_export.sources.pool import ALL, pool
from feature_export.sources.source_pairs import source_pairs
from tunejury_jax.documents import fill_whole
from tunejury_jax.pairs import write_pairs

__all__ = ["make_pairs"]


def make_pairs(
    source: str,
    options: Mapping[str, Any],
    out: Path,
    splits: Path | None = None,
    report: Path | None = None,
    strict: bool = False,
    partial: bool = False,
) -> dict[str, Any]:
    """Writes the pairs file of a source, or of the pool of the four published ones.

    Args:
        source: Name of the source, or `all`.
        options: What its reader, or the pool, takes.
        out: The pairs file.
        splits: As `source_pairs` takes it; needed for the pool.
        report: The report goes here too, as JSON.
        strict: Refuses audio that is listed and not there, which is otherwise counted and its pairs left out.
        partial: Makes a pool of the sources that are there.

    Returns:
        The report.

    Raises:
        ValueError: Refused input; nothing is written then but extracted audio.
    """
    if partial and source != ALL:
        raise ValueError(f"partial: is of source {ALL!r}, got source {source!r}")
    made = pool(options, splits, strict, partial) if source == ALL else source_pairs(source, options, splits, strict)
    _write(out, lambda path: write_pairs(path, made.pairs))
    if report:
        _write(report, lambda path: path.write_text(json.dumps(made.report, indent=1, ensure_ascii=False) + "\n"))
    for line in _pool_lines(made.report) if source == ALL else _lines(made.report):
        print(line, file=sys.stderr)
    print(out)
    return made.report


def _write(path: Path, write: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fill_whole(path, write)


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    for name, value in report.items():
        shown = ", ".join(f"{key} {count}" for key, count in value.items()) if isinstance(value, dict) else value
        yield f"{name}: {'-' if shown in (None, '') else shown}"


def _pool_lines(report: Mapping[str, Any]) -> Iterator[str]:
    for part in report["sources"].values():
        yield from (*_lines(part), "")
    yield from _lines({name: report[name] for name in ("source", "pairs", "audio_root")})
    yield f"sources not there: {', '.join(report['not there']) or '-'}"
    yield f"{'':30}" + "".join(f"{column:>16}" for column in report["columns"])
    yield from (_row(**row) for row in report["table"])
    differ = sum(row["found"] != row["published"] for row in report["table"])
    yield "as published" if not differ else f"{differ} rows differ from the published counts: found ≠ published"


def _row(name: str, found: tuple[int, ...], published: tuple[int, ...]) -> str:
    cells = [str(a) if a == b else f"{a} ≠ {b}" for a, b in zip(found, published, strict=True)]
    return f"{name:30}" + "".join(f"{cell:>16}" for cell in cells)
