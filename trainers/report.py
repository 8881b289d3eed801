"""One page that tells how a run went: `python -m trainers.report --run RUN` writes RUN/report.html.

The page is made from the run folder's files alone, and the same files give the same page. A file that is not there
yet is said to be missing; one that cannot be read stops the report.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers import plots
from trainers.html_page import facts, grid, missing, page, paragraph, picture, section
from trainers.run_reader import Epoch, Predictions, Run, Test, Trial, best_of, read_run
from tunejury_jax.console import command
from tunejury_jax.metrics import Accuracy

__all__ = ["ReportConfig", "main", "write_report"]

TOP = 20


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
    best = best_of(found.trials or [])
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
    path.write_text(page(f"Run {run.resolve().name}", sections), encoding="utf-8", errors="replace")
    return path


def _headline(run: Run, best: Trial | None) -> str:
    cards = _test_facts(run.test) if run.test else []
    if best:
        cards.append((f"trial {best.trial}", f"best, with a validation loss of {best.valid_loss:.4f} nats per pair"))
    states = Counter(trial.state for trial in run.trials or [])
    if states:
        cards.append((f"{states.total()} trials", ", ".join(f"{n} {state}" for state, n in states.items())))
    absent = [] if run.test else [missing("test/metrics.json", "held-out accuracy, chance and baselines")]
    return section("Result", facts(cards), *absent)


def _test_facts(test: Test) -> list[tuple[str, str]]:
    a, loss, ece = test.accuracy, test.log_loss, test.ece
    note = f"accuracy on the {test.split} split, 95% interval {_interval(a)}: {a.correct} right and {a.undecided} "
    note += f"undecided of {a.n_decisive} decisive pairs; {a.ties} ties left out"
    cards = [(f"{a.value:.1%}", note)]
    cards.append((f"{test.chance.value:.1%}", f"chance; binomial test of the head against it: {_p(test.chance.p)}"))
    if test.baselines:
        name, (b, rule) = max(test.baselines.items(), key=lambda item: item[1][0].value)
        note = f"strongest baseline, {name}, 95% interval {_interval(b)}; McNemar test of the head against it: "
        cards.append((f"{b.value:.1%}", note + _p(rule.p)))
    cards.append((f"{loss.value:.4f}", f"log loss, nats per pair, 95% interval {loss.low:.4f} to {loss.high:.4f}"))
    cards.append((f"{ece.value:.4f}", f"calibration error (ECE), 95% interval {ece.low:.4f} to {ece.high:.4f}"))
    return cards


def _leaderboard(trials: Sequence[Trial] | None) -> str:
    if not trials:
        return section("Leaderboard", missing("trials.jsonl", "leaderboard"))
    ranked = sorted((t for t in trials if t.ranked), key=lambda t: (t.valid_loss, t.trial))[:TOP]
    names = list(dict.fromkeys(name for trial in ranked for name in trial.params))
    header = ["#", "trial", "validation loss (nats)", "validation accuracy", "best epoch", "epochs", "time (s)", *names]
    rows = []
    for rank, t in enumerate(ranked, start=1):
        measured = (t.valid_accuracy, t.best_epoch, t.epochs, t.seconds, *(t.params.get(name) for name in names))
        rows.append([rank, t.trial, f"{t.valid_loss:.4f}", *map(_value, measured)])
    lost = [t for t in trials if t.state != "running" and not t.ranked]
    errors = [[t.trial, t.state, (t.error or "no finite validation loss")[:300]] for t in lost[:TOP]]
    parts = [paragraph(f"{len(ranked)} of {len(trials)} trials, least validation loss first."), grid(header, rows)]
    if lost:
        parts += [paragraph(f"{len(lost)} ended without a result."), grid(["trial", "state", "error"], errors)]
    return section("Leaderboard", *parts)


def _curves(epochs: Sequence[Epoch] | None, best: Trial | None) -> str:
    if not epochs:
        return section("Learning curves", missing("epochs.jsonl", "learning curves"))
    count = len({epoch.trial for epoch in epochs})
    alt = f"Line chart: loss over epochs of {count} trials"
    alt += f"; trial {best.trial} is best, with a validation loss of {best.valid_loss:.4f}." if best else "."
    note = "Solid: validation; dashed: training, of the best trial only. A dot ends the curve of another trial."
    return section("Learning curves", picture(plots.learning_curves(epochs, best), alt), paragraph(note))


def _sources(test: Test | None) -> str:
    title = "Accuracy by source"
    if not test:
        return section(title, missing("test/metrics.json", "accuracies"))
    baselines = {name: accuracy for name, (accuracy, _) in test.baselines.items()}
    figure = plots.accuracy_by_source(test.accuracy, test.by_source, baselines)
    named = {"all sources": test.accuracy, **test.by_source}
    alt = "Dot chart of accuracies: " + ", ".join(f"{name} {a.value:.1%}" for name, a in named.items()) + "."
    rows = [[name, *_accuracy_cells(a)] for name, a in named.items()]
    against = [[name, *_accuracy_cells(a), _p(rule.p), rule.rule] for name, (a, rule) in test.baselines.items()]
    columns = ["accuracy", "95% interval", "decisive", "right", "undecided", "ties left out"]
    parts = [picture(figure, alt), grid(["source", *columns], rows)]
    parts += [grid(["baseline", *columns, "head against it", "rule"], against)] * bool(against)
    parts += [grid(["pairs left out of the test", "count"], list(test.skipped.items()))] * bool(test.skipped)
    return section(title, *parts)


def _calibration(test: Test | None) -> str:
    if not test or not test.bins:
        return section("Calibration", missing("test/metrics.json", "reliability bins"))
    alt = "Reliability diagram, confidence and accuracy of each bin: "
    alt += ", ".join(f"{b.confidence:.1%} and {b.accuracy:.1%}" for b in test.bins) + "."
    note = "On the dotted line the head is right as often as it claims; above it, it is too modest; below, too sure."
    return section("Calibration", picture(plots.reliability_diagram(test.bins), alt), paragraph(note))


def _margins(predictions: Predictions | None) -> str:
    if predictions is None:
        return section("Margins", missing("test/predictions.csv", "margins"))
    alt = "Histogram of the margins of decisive pairs, towards the preferred clip and away from it."
    return section("Margins", picture(plots.margin_histogram(*predictions), alt))


def _parameters(trials: Sequence[Trial] | None) -> str:
    title = "Hyper-parameters"
    if not trials:
        return section(title, missing("trials.jsonl", "trials to compare"))
    names, ranked = plots.varied(trials), sum(trial.ranked for trial in trials)
    note = f"{ranked} trials with a result, {len(trials) - ranked} without are not drawn. "
    if not names:
        return section(title, paragraph(note + "No hyper-parameter varied among them, so there is nothing to compare."))
    alt = f"Scatter charts of validation loss against {', '.join(names)}."
    note += "The star is the best trial. A hyper-parameter that did not vary has no panel."
    return section(title, picture(plots.hyper_parameters(trials), alt), paragraph(note))


def _config(config: dict[str, Any] | None) -> str:
    if config is None:
        return section("Configuration", missing("config.json", "configuration"))
    return section("Configuration", grid(["setting", "value"], list(_flat(config))))


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


if __name__ == "__main__":
    command("python -m trainers.report", ReportConfig, main)
