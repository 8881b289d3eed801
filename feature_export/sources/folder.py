"""Labels of one's own: a csv or jsonl of two paths and a label, with any other field of a pairs file."""

from pathlib import Path

from feature_export.sources.reading import Reading, with_audio
from feature_export.sources.rows import Row, find_tables, once, read_rows
from tunejury_jax.pairs import Pair

__all__ = ["read_folder"]


def read_folder(data: Path, *, audio: Path | None = None) -> Reading:
    """Reads a table with the columns `audio_a`, `audio_b`, `label` and, where wanted, `prompt` and others of `Pair`.

    A row without an `id` gets `folder_n`, six digits counted from 0, and one without a `source` gets `folder`.

    Args:
        data: The table, or the folder that holds it.
        audio: Folder that the paths are relative to; the folder of the data where None.

    Raises:
        ValueError: No such table, or a row that is no pair.
    """
    rows = [row for file in find_tables(data) for row in read_rows(file)]
    pairs = [_pair(number, row) for number, row in enumerate(rows)]
    seen: dict[str, str] = {}
    for row, pair in zip(rows, pairs, strict=True):
        once(seen, "id", pair.id, row.where)
    return with_audio("folder", pairs, {"rows": len(rows)}, audio or (data.parent if data.is_file() else data))


def _pair(number: int, row: Row) -> Pair:
    """An empty cell says nothing, as an absent column does."""
    for field in ("audio_a", "audio_b", "label"):
        row.text(field)
    given = {field: value for field, value in row.values.items() if value not in ("", None)}
    return row.pair(**({"id": f"folder_{number:06d}", "source": "folder"} | given))
