"""One page that tells how a run went: `python -m trainers.report --run RUN` writes RUN/report.html.

The page is made from the run folder's files alone and needs nothing else: pictures are inside, there is no script, and
the same files give the same page. A file that is not there yet is said to be missing; one that cannot be read stops
the report with its name and line. Files may come from anywhere, so their text reaches the page only through the
helpers at the end, which escape it, and the page's policy forbids any script that got past them.
"""

import base64
import contextlib
import csv
import html
import json
import math
import types
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from trainers import plots
from trainers.plots import Epoch, Trial
from tunejury_jax.console import command
from tunejury_jax.metrics import Accuracy, ReliabilityBin

__all__ = ["ReportConfig", "main", "write_report"]

TOP = 20
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --soft: #5c5c61; --line: #d9d9de; --page: #fbfbfc; --card: #f1f1f4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --soft: #a3a3aa; --line: #3d3d43; --page: #17171a; --card: #232327; } }
body { max-width: 46rem; margin: 0 auto; padding: 1rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.15rem; margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
p, .fact span { color: var(--soft); font-size: .9rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .75rem; }
.fact { background: var(--card); border-radius: .5rem; padding: .75rem; }
.fact b { display: block; font-size: 1.4rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { overflow-wrap: normal; } td { white-space: nowrap; } td.long { white-space: normal; min-width: 16rem; }
img { width: 100%; max-width: 40rem; background: #fff; border-radius: .5rem; }
@media print {
  :root { --ink: #000; --soft: #333; --line: #bbb; --page: #fff; --card: #f4f4f4; }
  img, .fact, tr { break-inside: avoid; } h2 { break-after: avoid; } .wide { overflow: visible; }
  table { font-size: .6rem; } th, td { padding: .15rem .3rem; }
  td { white-space: normal; overflow-wrap: normal; } td.long { min-width: 0; overflow-wrap: anywhere; } }
"""

Record = TypeVar("Record", bound=tuple)
Predictions = tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]


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


class Run(NamedTuple):
    """What a run folder holds; None for a file that is not there."""

    config: dict[str, Any] | None
    trials: list[Trial] | None
    epochs: list[Epoch] | None
    test: Test | None
    predictions: Predictions | None


@dataclass(frozen=True)
class ReportConfig:
    """A report of a training run or a sweep."""

    run: Path
    """Run folder."""


def main(config: ReportConfig) -> None:
    """Writes the report and prints where it is."""
    print(write_report(config.run))


def write_report(run: Path) -> Path:
    """Writes the report of a run folder and returns its path, RUN/report.html.

    Args:
        run: Folder with any of config.json, trials.jsonl, epochs.jsonl, test/metrics.json and test/predictions.csv.

    Raises:
        ValueError: The folder holds none of these, or one cannot be read: names the file, the line and the field.
    """
    found = read_run(run)
    best = plots.best_of(found.trials or [])
    sections = [
        _headline(found, best),
        _leaderboard(found.trials),
        _curves(found.epochs, best),
        _sources(found.test),
        _calibration(found.test),
        _margins(found.predictions),
        _parameters(found.trials),
        _config(found.config),
    ]
    path = run / "report.html"
    path.write_text(_page(f"Run {run.resolve().name}", sections), encoding="utf-8", errors="replace")
    return path


def read_run(run: Path) -> Run:
    """Reads what there is of a run folder. Of several lines about one trial, or one epoch of it, the last counts."""
    readers: dict[str, Callable[[Path], Any]] = {
        "config.json": lambda path: _json(path, dict[str, Any]),
        "trials.jsonl": lambda path: _last(_json_lines(path, Trial), lambda t: t.trial),
        "epochs.jsonl": lambda path: _last(_json_lines(path, Epoch), lambda e: (e.trial, e.epoch)),
        "test/metrics.json": lambda path: _json(path, Test),
        "test/predictions.csv": _predictions,
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


def _headline(run: Run, best: Trial | None) -> str:
    facts = _test_facts(run.test) if run.test else []
    if best:
        facts.append((f"trial {best.trial}", f"best, with a validation loss of {best.valid_loss:.4f} nats per pair"))
    states = Counter(trial.state for trial in run.trials or [])
    if states:
        facts.append((f"{states.total()} trials", ", ".join(f"{n} {state}" for state, n in states.items())))
    missing = [] if run.test else [_missing("test/metrics.json", "held-out accuracy, chance and baselines")]
    return _section("Result", _facts(facts), *missing)


def _test_facts(test: Test) -> list[tuple[str, str]]:
    a, loss, ece = test.accuracy, test.log_loss, test.ece
    note = f"accuracy on the {test.split} split, 95% interval {_interval(a)}: {a.correct} right and {a.undecided} "
    note += f"undecided of {a.n_decisive} decisive pairs; {a.ties} ties left out"
    facts = [(f"{a.value:.1%}", note)]
    facts.append((f"{test.chance.value:.1%}", f"chance; binomial test of the head against it: {_p(test.chance.p)}"))
    if test.baselines:
        name, (b, rule) = max(test.baselines.items(), key=lambda item: item[1][0].value)
        note = f"strongest baseline, {name}, 95% interval {_interval(b)}; McNemar test of the head against it: "
        facts.append((f"{b.value:.1%}", note + _p(rule.p)))
    facts.append((f"{loss.value:.4f}", f"log loss, nats per pair, 95% interval {loss.low:.4f} to {loss.high:.4f}"))
    facts.append((f"{ece.value:.4f}", f"calibration error (ECE), 95% interval {ece.low:.4f} to {ece.high:.4f}"))
    return facts


def _leaderboard(trials: Sequence[Trial] | None) -> str:
    if not trials:
        return _section("Leaderboard", _missing("trials.jsonl", "leaderboard"))
    ranked = sorted((t for t in trials if t.ranked), key=lambda t: (t.valid_loss, t.trial))[:TOP]
    names = list(dict.fromkeys(name for trial in ranked for name in trial.params))
    header = ["#", "trial", "validation loss (nats)", "validation accuracy", "best epoch", "epochs", "time (s)", *names]
    rows = []
    for rank, t in enumerate(ranked, start=1):
        measured = (t.valid_accuracy, t.best_epoch, t.epochs, t.seconds, *(t.params.get(name) for name in names))
        rows.append([rank, t.trial, f"{t.valid_loss:.4f}", *map(_value, measured)])
    lost = [t for t in trials if t.state != "running" and not t.ranked]
    errors = [[t.trial, t.state, (t.error or "no finite validation loss")[:300]] for t in lost[:TOP]]
    parts = [_text(f"{len(ranked)} of {len(trials)} trials, least validation loss first."), _grid(header, rows)]
    if lost:
        parts += [_text(f"{len(lost)} ended without a result."), _grid(["trial", "state", "error"], errors)]
    return _section("Leaderboard", *parts)


def _curves(epochs: Sequence[Epoch] | None, best: Trial | None) -> str:
    if not epochs:
        return _section("Learning curves", _missing("epochs.jsonl", "learning curves"))
    count = len({epoch.trial for epoch in epochs})
    alt = f"Line chart: loss over epochs of {count} trials"
    alt += f"; trial {best.trial} is best, with a validation loss of {best.valid_loss:.4f}." if best else "."
    note = "Solid: validation; dashed: training, of the best trial only. A dot ends the curve of another trial."
    return _section("Learning curves", _picture(plots.learning_curves(epochs, best), alt), _text(note))


def _sources(test: Test | None) -> str:
    title = "Accuracy by source"
    if not test:
        return _section(title, _missing("test/metrics.json", "accuracies"))
    baselines = {name: accuracy for name, (accuracy, _) in test.baselines.items()}
    figure = plots.accuracy_by_source(test.accuracy, test.by_source, baselines)
    named = {"all sources": test.accuracy, **test.by_source}
    alt = "Dot chart of accuracies: " + ", ".join(f"{name} {a.value:.1%}" for name, a in named.items()) + "."
    rows = [[name, *_accuracy_cells(a)] for name, a in named.items()]
    against = [[name, *_accuracy_cells(a), _p(rule.p), rule.rule] for name, (a, rule) in test.baselines.items()]
    columns = ["accuracy", "95% interval", "decisive", "right", "undecided", "ties left out"]
    parts = [_picture(figure, alt), _grid(["source", *columns], rows)]
    parts += [_grid(["baseline", *columns, "head against it", "rule"], against)] * bool(against)
    parts += [_grid(["pairs left out of the test", "count"], list(test.skipped.items()))] * bool(test.skipped)
    return _section(title, *parts)


def _calibration(test: Test | None) -> str:
    if not test or not test.bins:
        return _section("Calibration", _missing("test/metrics.json", "reliability bins"))
    alt = "Reliability diagram, confidence and accuracy of each bin: "
    alt += ", ".join(f"{b.confidence:.1%} and {b.accuracy:.1%}" for b in test.bins) + "."
    note = "On the dotted line the head is right as often as it claims; above it, it is too modest; below, too sure."
    return _section("Calibration", _picture(plots.reliability_diagram(test.bins), alt), _text(note))


def _margins(predictions: Predictions | None) -> str:
    if predictions is None:
        return _section("Margins", _missing("test/predictions.csv", "margins"))
    alt = "Histogram of the margins of decisive pairs, towards the preferred clip and away from it."
    return _section("Margins", _picture(plots.margin_histogram(*predictions), alt))


def _parameters(trials: Sequence[Trial] | None) -> str:
    title = "Hyper-parameters"
    if not trials:
        return _section(title, _missing("trials.jsonl", "trials to compare"))
    names, ranked = plots.varied(trials), sum(trial.ranked for trial in trials)
    note = f"{ranked} trials with a result, {len(trials) - ranked} without are not drawn. "
    if not names:
        return _section(title, _text(note + "No hyper-parameter varied among them, so there is nothing to compare."))
    alt = f"Scatter charts of validation loss against {', '.join(names)}."
    note += "The star is the best trial. A hyper-parameter that did not vary has no panel."
    return _section(title, _picture(plots.hyper_parameters(trials), alt), _text(note))


def _config(config: dict[str, Any] | None) -> str:
    if config is None:
        return _section("Configuration", _missing("config.json", "configuration"))
    return _section("Configuration", _grid(["setting", "value"], list(_flat(config))))


def _flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _interval(a: Accuracy) -> str:
    return f"{a.low:.1%} to {a.high:.1%}"


def _accuracy_cells(a: Accuracy) -> list[Any]:
    return [f"{a.value:.1%}", _interval(a), a.n_decisive, a.correct, a.undecided, a.ties]


def _p(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-300 else "p < 1e-300"


def _value(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


# Below: the only places where text becomes HTML, and each escapes it.


def _text(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _missing(file: str, what: str) -> str:
    return _text(f"Missing: {what}. The run has no {file}, or nothing is in it.")


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    cards = (f'<div class="fact"><b>{html.escape(v)}</b><span>{html.escape(note)}</span></div>' for v, note in facts)
    return f'<div class="facts">{"".join(cards)}</div>'


def _grid(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in header)
    body = "\n".join("<tr>" + "".join(_cell(str(value)) for value in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _cell(text: str) -> str:
    opening = '<td class="long">' if len(text) > 36 else "<td>"
    return f"{opening}{html.escape(text)}</td>"


def _picture(figure: Figure, alt: str) -> str:
    data = base64.b64encode(plots.png(figure)).decode()
    return f'<p><img alt="{html.escape(alt)}" src="data:image/png;base64,{data}"></p>'


def _section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{html.escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def _page(title: str, sections: Sequence[str]) -> str:
    head = f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    head += f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>"
    body = f"<h1>{html.escape(title)}</h1>\n" + "\n".join(sections)
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


if __name__ == "__main__":
    command("python -m trainers.report", ReportConfig, main)
