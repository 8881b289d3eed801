"""Reads a run folder back: what its files hold, checked field by field.

A file that is not there yet is None; one that cannot be read is an error that names the file, the line and the field.
"""

import contextlib
import csv
import json
import math
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from tunejury_jax.metrics import Accuracy, ReliabilityBin

__all__ = ["Epoch", "HeadFit", "Predictions", "Run", "Table", "Test", "Trial", "best_of", "read_run"]

Record = TypeVar("Record", bound=tuple)
Predictions = tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]


class Trial(NamedTuple):
    """One setting that was trained, as a line of `trials.jsonl` has it."""

    trial: int
    state: str
    params: dict[str, Any]
    valid_loss: float | None
    valid_accuracy: float | None
    best_epoch: int | None
    epochs: int | None
    seconds: float | None
    error: str | None

    @property
    def ranked(self) -> bool:
        """Whether it finished with a finite validation loss, and so takes part in the comparison."""
        return self.state == "complete" and self.valid_loss is not None and math.isfinite(self.valid_loss)


class Epoch(NamedTuple):
    """One epoch of one trial, as a line of `epochs.jsonl` has it; losses in nats per pair."""

    trial: int
    epoch: int
    train_loss: float
    valid_loss: float
    valid_accuracy: float | None


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The ranked trial of least validation loss, the earliest of equals; None where no trial is ranked."""
    return min((t for t in trials if t.ranked), key=lambda t: (t.valid_loss, t.trial), default=None)


class Estimate(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


class Chance(NamedTuple):
    """Accuracy of guessing, and the binomial p-value of the head against it."""

    value: float
    p: float


class Rule(NamedTuple):
    """What a baseline does, and the McNemar p-value of the head against it."""

    rule: str
    p: float


class Test(NamedTuple):
    """What `test/metrics.json` holds."""

    split: str
    accuracy: Accuracy
    log_loss: Estimate
    ece: Estimate
    by_source: dict[str, Accuracy]
    baselines: dict[str, tuple[Accuracy, Rule]]
    chance: Chance
    bins: list[ReliabilityBin]
    skipped: dict[str, int]


class Table(NamedTuple):
    """A table of `tables.json`, as the page shows it."""

    title: str
    note: str
    header: list[str]
    rows: list[list[str]]


class HeadFit(NamedTuple):
    """One head trained from one seed, as a line of `heads.jsonl` has it; `accuracy` of "all" pairs and by source."""

    trial: int
    head: str
    seed: int
    valid_loss: float
    accuracy: dict[str, Accuracy]


class Run(NamedTuple):
    """What a run folder holds; None for a file that is not there."""

    config: dict[str, Any] | None
    trials: list[Trial] | None
    epochs: list[Epoch] | None
    test: Test | None
    predictions: Predictions | None
    tables: list[Table] | None
    heads: list[HeadFit] | None


def read_run(run: Path) -> Run:
    """Reads what there is of a run folder. Of several lines about one trial, or one epoch of it, the last counts."""
    readers: dict[str, Callable[[Path], Any]] = {
        "config.json": lambda path: _json(path, dict[str, Any]),
        "trials.jsonl": lambda path: _last(_json_lines(path, Trial), lambda t: t.trial),
        "epochs.jsonl": lambda path: _last(_json_lines(path, Epoch), lambda e: (e.trial, e.epoch)),
        "test/metrics.json": lambda path: _json(path, Test),
        "test/predictions.csv": _predictions,
        "tables.json": _tables,
        "heads.jsonl": _heads,
    }
    if not any((run / name).is_file() for name in readers):
        raise ValueError(f"run: {str(run)!r} holds none of {', '.join(readers)}")
    return Run(*(reader(run / name) if (run / name).is_file() else None for name, reader in readers.items()))


@contextlib.contextmanager
def _quoting(place: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, OverflowError, RecursionError, csv.Error) as error:
        raise ValueError(f"{place}: {error}") from error


def _json(path: Path, kind: Any) -> Any:
    with _quoting(str(path)):
        return _parse("the file", kind, json.loads(path.read_bytes()))


def _json_lines(path: Path, kind: type[Record]) -> list[Record]:
    records = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        with _quoting(f"{path}, line {number}"):
            records += [_parse("the line", kind, json.loads(line))] if line.strip() else []
    return records


def _last(records: Sequence[Record], key: Callable[[Record], Any]) -> list[Record]:
    by_key = {key(record): record for record in records}
    return [by_key[k] for k in sorted(by_key)]


def _parse(field: str, kind: Any, value: Any) -> Any:
    """JSON as `kind`: a named tuple, a dict or list of one kind, or plain values. A tuple of kinds reads one object
    several ways. Fields that a named tuple does not have are ignored, and null stands for one that is missing."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return tuple(_parse(field, one, value) for one in inner)
    if origin is dict:
        return {key: _parse(key, inner[1], item) for key, item in _expect(field, (dict,), value).items()}
    if origin is list:
        return [_parse(field, inner[0], item) for item in _expect(field, (list,), value)]
    if hasattr(kind, "_fields"):
        found, hints = _expect(field, (dict,), value), typing.get_type_hints(kind)
        return kind(**{name: _parse(name, hint, found.get(name)) for name, hint in hints.items()})
    return value if kind is Any else _expect(field, inner or (kind,), value)


def _expect(field: str, kinds: tuple[type, ...], value: Any) -> Any:
    if float in kinds and type(value) is int:
        return float(value)
    if not isinstance(value, kinds) or isinstance(value, bool):
        wanted = " or ".join({types.NoneType: "null", dict: "object"}.get(kind, kind.__name__) for kind in kinds)
        raise ValueError(f"{field}: expected {wanted}, got {str(value)[:200]!r}")
    return value


def _tables(path: Path) -> list[Table]:
    tables: list[Table] = _json(path, list[Table])
    for table in tables:
        for number, row in enumerate(table.rows, start=1):
            if len(row) != len(table.header):
                raise ValueError(
                    f"{path}: table {table.title!r}, row {number}: expected {len(table.header)} cells, as its header "
                    f"has, got {len(row)}"
                )
    return tables


def _heads(path: Path) -> list[HeadFit]:
    fits = _json_lines(path, HeadFit)
    for fit in fits:
        if "all" not in fit.accuracy:
            raise ValueError(f"{path}: head {fit.head!r}, seed {fit.seed}: accuracy: expected 'all' among its keys")
    return _last(fits, lambda fit: (fit.trial, fit.head, fit.seed))


def _predictions(path: Path) -> Predictions:
    with _quoting(str(path)), path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    numbers = []
    for number, row in enumerate(rows or [[]], start=1):
        with _quoting(f"{path}, line {number}"):
            if number == 1 and row != ["pair_id", "source", "target", "margin"]:
                raise ValueError(f"expected the columns pair_id, source, target, margin, got {row}")
            if number > 1:
                numbers.append(_prediction(row))
    targets, margins = np.array(numbers, np.float64).reshape(-1, 2).T
    return margins, targets


def _prediction(row: Sequence[str]) -> tuple[float, float]:
    if len(row) != 4:
        raise ValueError(f"expected 4 columns, got {row}")
    target, margin = float(row[2]), float(row[3])
    if target not in (0, 0.5, 1) or not math.isfinite(margin):
        raise ValueError(f"expected a target of 0, 0.5 or 1 and a finite margin, got {row[2]!r} and {row[3]!r}")
    return target, margin
