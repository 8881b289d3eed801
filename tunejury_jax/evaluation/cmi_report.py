"""CMI-RewardBench's metrics of saved predictions, in all and by group, each with an interval."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tunejury_jax.evaluation.cmi_results import Answer, Results
from tunejury_jax.evaluation.cmi_tasks import Task
from tunejury_jax.evaluation.correlations import COEFFICIENTS
from tunejury_jax.evaluation.estimates import Estimate, estimate_rows, estimate_share

__all__ = ["Line", "report", "report_lines"]

Line = tuple[str, str, str, str, str, Estimate]
"""Data set, axis, group key, group value, metric, estimate; the keys are empty for all rows."""


def report(results: Results) -> dict[str, Any]:
    """The metrics as one document.

    Returns:
        `summary`: data set -> axis -> metric -> estimate; `groups`: data set -> group key -> group value -> axis ->
        metric -> estimate; `counts`, those of the file.
    """
    document: dict[str, Any] = {"summary": _tree(), "groups": _tree(), "counts": results.counts}
    for dataset, axis, key, value, metric, estimate in report_lines(results):
        place = document["groups"][dataset][key][value] if key else document["summary"][dataset]
        place[axis][metric] = estimate.to_json()
    return document


def report_lines(results: Results) -> Iterator[Line]:
    """The same, one line an estimate; the order is fixed."""
    for task, answers in results.answers.items():
        if answers:
            yield from ((task.dataset, task.axis, "", "", *found) for found in _metrics(task, answers))
        for (key, value), members in sorted(_grouped(answers).items()):
            yield from ((task.dataset, task.axis, key, value, *found) for found in _metrics(task, members))


def _metrics(task: Task, answers: Sequence[Answer]) -> Iterator[tuple[str, Estimate]]:
    if task.kind == "preference":
        yield "accuracy", estimate_share(np.array([_outcome(answer) for answer in answers]))
        return
    labels, predictions = (np.array([getattr(a, side) for a in answers]) for side in ("label", "prediction"))
    for name, coefficient in COEFFICIENTS.items():
        yield name, estimate_rows(coefficient, labels, predictions)


def _outcome(answer: Answer) -> float:
    """1 where label and prediction agree, 1/2 where one of them is `both`, else 0."""
    if answer.label == answer.prediction:
        return 1.0
    return 0.5 if "both" in (answer.label, answer.prediction) else 0.0


def _grouped(answers: Sequence[Answer]) -> dict[tuple[str, str], list[Answer]]:
    groups = defaultdict(list)
    for answer in answers:
        for item in answer.groups.items():
            groups[item].append(answer)
    return groups


def _tree() -> defaultdict[str, Any]:
    return defaultdict(_tree)
