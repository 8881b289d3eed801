"""MusicPrefs: outcomes in `human_preference.csv`, clips inside `data/*.parquet`."""

from collections import Counter
from pathlib import Path
from typing import Literal

from feature_export.sources.embedded import Embedded, read_embedded
from feature_export.sources.reading import Reading
from feature_export.sources.rows import Row, read_rows
from tunejury_jax.errors import one_of
from tunejury_jax.pairs import Label, Pair

__all__ = ["read_musicprefs"]

QUESTIONS = ("musicality", "fidelity")
LABELS_FILE = "human_preference.csv"
OUTCOMES: dict[str, Label] = {"a_wins": "a", "b_wins": "b"}


def read_musicprefs(
    data: Path, *, audio_out: Path | None = None, question: str = "musicality", prompt_column: str = "prompt"
) -> Reading:
    """Reads the outcomes of one question; the pair of row n, from 0, is `prefs_n`, six digits.

    Args:
        data: Folder with `human_preference.csv` and `data/*.parquet`.
        audio_out: Folder the clips are extracted to.
        question: `musicality` or `fidelity`.
        prompt_column: Column of the prompt, in the csv or beside the audio; empty for no prompts.

    Raises:
        ValueError: A file that is missing or not as published, or a column without a single win.
    """
    one_of("question", question, QUESTIONS)
    rows = list(read_rows(data / LABELS_FILE))
    _check_outcomes(rows, question)
    wanted = {row.text(side) for row in rows for side in ("audio_a", "audio_b")}
    found = read_embedded(data / "data", _path, wanted, audio_out)
    pairs = [
        _pair(number, row, found.clips, question, prompt_column)
        for number, row in enumerate(rows)
        if {row.values["audio_a"], row.values["audio_b"]} <= found.clips.keys()
    ]
    counts = {"rows": len(rows)} | _ties(rows, question) | found.counts
    counts["pairs without audio"] = len(rows) - len(pairs)
    return Reading("MusicPrefs", pairs, counts, sorted(wanted - found.clips.keys()), audio_out)


def _path(row: Row) -> str:
    audio = row.get("audio")
    path = audio.get("path") if isinstance(audio, dict) else None
    if not isinstance(path, str) or not path:
        raise ValueError(f"{row.where}: audio.path: expected the clip's name in {LABELS_FILE}, got {path!r}")
    return path


def _label(row: Row, question: str) -> Label:
    """Anything that names no winner is a tie, as published; `_ties` reports what that was."""
    outcome = row.text(question).lower()
    winners: list[Literal["a", "b", "tie", "both_bad"]] = [OUTCOMES[code] for code in OUTCOMES if code in outcome]
    if len(winners) > 1:
        raise row.refuse(question, "one winner at most")
    return winners[0] if winners else "tie"


def _check_outcomes(rows: list[Row], question: str) -> None:
    if all(_label(row, question) == "tie" for row in rows):
        got = sorted({row.text(question) for row in rows})[:5]
        raise ValueError(f"{rows[0].where}: {question}: no row says a_wins or b_wins, got {got}")


def _ties(rows: list[Row], question: str) -> dict[str, int]:
    texts = Counter(row.text(question).strip().lower() for row in rows if _label(row, question) == "tie")
    return {f"read as a tie: {text[:40]}": count for text, count in sorted(texts.items())}


def _pair(number: int, row: Row, clips: dict[str, Embedded], question: str, prompt_column: str) -> Pair:
    side_a, side_b = clips[row.text("audio_a")], clips[row.text("audio_b")]
    return row.pair(
        id=f"prefs_{number:06d}",
        source="MusicPrefs",
        audio_a=side_a.name,
        audio_b=side_b.name,
        label=_label(row, question),
        question=question,
        prompt=_prompt(row, side_a.row, side_b.row, prompt_column) if prompt_column else "",
    )


def _prompt(pair: Row, clip_a: Row, clip_b: Row, column: str) -> str:
    """The name of the column is not verified, so where it is none of theirs this stops and names theirs."""
    if column in pair.values:
        return pair.values[column]
    prompt = clip_a.get(column)
    if clip_b.get(column) != prompt:
        raise pair.refuse("audio_b", f"a clip with audio_a's {column} {prompt!r}, not {clip_b.get(column)!r}")
    return prompt
