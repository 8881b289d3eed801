"""CMI-Pref: the comparisons of CMI-RewardBench's test file that its own raters made."""

from collections import Counter
from pathlib import Path

from feature_export.sources.reading import Reading, with_audio
from feature_export.sources.rows import Row, read_rows
from tunejury_jax.errors import one_of
from tunejury_jax.pairs import Label, Pair, Split

__all__ = ["read_cmi_pref"]

SOURCE_CODE = "cmi-arena-annotation"
QUESTIONS = ("musicality", "alignment")
LABELS: dict[str, Label] = {"model_a": "a", "model_b": "b", "both": "tie", "neither": "both_bad"}
SPLITS: dict[str, Split] = {"test": "test"}


def read_cmi_pref(data: Path, *, audio: Path | None = None, question: str = "musicality") -> Reading:
    """Reads the answers to one question; the pair of row n of the whole file, from 0, is `cmipref_n`, six digits.

    Args:
        data: Folder with `data/all_test.jsonl`, or that file.
        audio: Folder that the file's paths are relative to; the folder of the data where None.
        question: `musicality` or `alignment`.

    Raises:
        ValueError: Not such a file, or a row that is not as published.
    """
    one_of("question", question, QUESTIONS)
    table = data if data.is_file() else data / "data" / "all_test.jsonl"
    rows = list(read_rows(table))
    own = {number: row for number, row in enumerate(rows) if row.text("source") == SOURCE_CODE}
    pairs = [_pair(number, row, question) for number, row in own.items()]
    others = Counter(f"rows of {row.values['source']}" for row in rows if row.values["source"] != SOURCE_CODE)
    with_reference = sum(bool(row.values.get("ref-audio-path")) for row in own.values())
    counts = {"rows": len(rows)} | dict(sorted(others.items())) | {"pairs with reference audio": with_reference}
    return with_audio("CMI-Pref", pairs, counts, audio or (data.parent if data.is_file() else data))


def _pair(number: int, row: Row, question: str) -> Pair:
    return row.pair(
        id=f"cmipref_{number:06d}",
        source="CMI-Pref",
        audio_a=row.get("audio-path"),
        audio_b=row.get("audio2"),
        label=row.code(f"preference-{question}", LABELS),
        question=question,
        prompt=row.get("prompt"),
        lyrics=row.values.get("lyrics"),
        system_a=row.values.get("model_a") or None,
        system_b=row.values.get("model_b") or None,
        confidence=_confidence(row, question),
        rater=str(row.values["user id"]) if row.values.get("user id") else None,
        split=row.code("split", SPLITS),
    )


def _confidence(row: Row, question: str) -> float:
    value = row.get(f"confidence_{question}")
    try:
        confidence = float(value)
    except (TypeError, ValueError):
        confidence = 0.0
    if not 1 <= confidence <= 5:
        raise row.refuse(f"confidence_{question}", "a number from 1.0 to 5.0")
    return confidence
