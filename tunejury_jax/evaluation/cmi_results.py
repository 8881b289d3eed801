"""CMI-RewardBench's results.jsonl: its rows as columns of labels and predictions, and counts of what is unusable."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunejury_jax.documents import parse_object
from tunejury_jax.evaluation.cmi_tasks import TASKS, Task, dataset_of, modality_of, month_of, preferred, side_of

__all__ = ["Answer", "Results", "parse_row", "read_results", "read_rows"]

MAX_LINE_BYTES = 1 << 20
MAX_ROWS = 1_000_000
SPLIT = "test"


@dataclass(frozen=True)
class Answer:
    """One row's label and prediction for one task.

    Attributes:
        label: A rating, or the preferred side.
        prediction: A score, or the predicted side.
        groups: Group key -> the row's value.
    """

    label: float | str
    prediction: float | str
    groups: dict[str, str]


@dataclass(frozen=True)
class Results:
    """A results file.

    Attributes:
        answers: Those with a usable label and prediction, by task.
        counts: What was read, and everything that was left out or looks wrong.
    """

    answers: dict[Task, list[Answer]]
    counts: dict[str, int]


def read_results(path: Path) -> Results:
    """Reads saved predictions, one JSON object a line.

    Args:
        path: In the benchmark's format.

    Raises:
        ValueError: A line is too long or no JSON object, there are too many rows, no row is of the benchmark, no row
            has a prediction, or a score is infinite.
    """
    answers: dict[Task, list[Answer]] = {task: [] for task in TASKS}
    counts, sources, seen = Counter[str](), Counter[str](), set[int]()
    for number, row in read_rows(path):
        counts["rows"] += 1
        if (dataset := dataset_of(row)) is None:
            sources[str(row.get("source"))[:80]] += 1
        elif str(row.get("split", SPLIT)) != SPLIT:
            counts[f"{dataset}: rows of another split"] += 1
        else:
            counts.update(_oddities(row, dataset, seen))
            for task in TASKS:
                if task.dataset == dataset:
                    _add(answers[task], row, task, counts, f"{path}: line {number}")
    counts.update({f"rows of unknown source {name!r}": count for name, count in sorted(sources.items())[:10]})
    _require_benchmark(path, answers, counts, sources)
    return Results(answers, dict(counts))


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a jsonl file with the numbers of their lines, from 1; blank lines are passed over."""
    with path.open("rb") as file:
        for number in range(1, MAX_ROWS + 2):
            line = file.readline(MAX_LINE_BYTES + 1)
            if not line:
                return
            if line.strip():
                yield number, parse_row(line, f"{path}: line {number}")
    raise ValueError(f"{path}: more than {MAX_ROWS} lines")


def parse_row(line: bytes, where: str) -> dict[str, Any]:
    """The object on a line.

    Raises:
        ValueError: The line is too long, or there is none.
    """
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"{where}: longer than {MAX_LINE_BYTES} bytes")
    return parse_object(line, where, MAX_LINE_BYTES)


def _oddities(row: dict[str, Any], dataset: str, seen: set[int]) -> Iterator[str]:
    if any(row.get(f"inference_valid_{side}") is False for side in "ab"):
        yield f"{dataset}: rows whose inference was not valid (used if they have predictions)"
    key = hash((dataset, *(str(row.get(field)) for field in ("audio-path", "audio2", "prompt"))))
    if key in seen:
        yield f"{dataset}: repeated rows (used)"
    seen.add(key)


def _add(answers: list[Answer], row: dict[str, Any], task: Task, counts: Counter[str], where: str) -> None:
    read = _rating if task.kind == "rating" else _side
    label, prediction = read(row, task.label, where), read(row, task.prediction, where)
    derived = _derived(row, task, where)
    if derived:
        if row.get(task.prediction) is None:
            counts[f"{task.dataset} {task.axis}: predictions derived from scores"] += 1
            prediction = derived
        elif prediction != derived:
            counts[f"{task.dataset} {task.axis}: predictions that contradict their scores (used)"] += 1
    for name, field, value in (("label", task.label, label), ("prediction", task.prediction, prediction)):
        if value is None:
            absent = row.get(field) in (None, "")
            counts[f"{task.dataset} {task.axis}: {'no' if absent else 'unknown'} {name} (left out)"] += 1
    if label is not None and prediction is not None:
        answers.append(Answer(label, prediction, _groups(row, task)))


def _rating(row: dict[str, Any], field: str, where: str) -> float | None:
    """A number, also as text; None for what is none. Infinities are no ratings, nor are they missing."""
    try:
        value = float(row.get(field, ""))
    except (TypeError, ValueError):
        return None
    if math.isinf(value):
        raise ValueError(f"{where}: {field}: expected a finite number, got {value}")
    return None if math.isnan(value) else value


def _side(row: dict[str, Any], field: str, where: str) -> str | None:
    return side_of(row.get(field))


def _derived(row: dict[str, Any], task: Task, where: str) -> str | None:
    if task.kind == "rating":
        return None
    a, b = (_rating(row, task.score + end, where) for end in ("", "_b"))
    return None if a is None or b is None else side_of(preferred(a, b))


def _groups(row: dict[str, Any], task: Task) -> dict[str, str]:
    if task.dataset == "Music Arena":
        return {"month": month_of(row) or "unknown"}
    if task.dataset != "CMI-Pref":
        return {}
    modality = modality_of(row)
    groups = {
        "modality": modality,
        "ref_subset": "ref" if "ref" in modality else "no_ref",
        "modality_type": "vocal" if "lyrics" in modality else "instru",
    }
    confidence = _confidence(row, task)
    if confidence is None:
        return groups
    return groups | {"confidence": confidence, f"confidence, {groups['ref_subset']}": confidence}


def _confidence(row: dict[str, Any], task: Task) -> str | None:
    """How sure the rater was, below, at or above the middle of 1 to 5; the field has two spellings."""
    fields = (f"confidence_{task.label}", f"confidence_{task.axis}")
    given = next((value for field in fields if (value := _rating(row, field, field)) is not None), None)
    return None if given is None else "<3" if given < 3 else ">3" if given > 3 else "=3"


def _require_benchmark(path: Path, answers: dict, counts: Counter[str], sources: Counter[str]) -> None:
    if counts["rows"] == sum(sources.values()):
        found = ", ".join(map(repr, list(sources)[:5])) or "no rows"
        raise ValueError(
            f"{path}: not results of CMI-RewardBench: source: got {found}, accepted are 'PAM (music)', 'MusicEval', "
            "'SongEval', names with 'Music Arena', and 'cmi-arena-annotation'"
        )
    if not any(answers.values()):
        fields = sorted({task.prediction for task in TASKS})
        raise ValueError(f"{path}: no row has both a label and a prediction; predictions are expected in {fields}")
