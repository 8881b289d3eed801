"""The parts of a report about the best head on held-out pairs."""

from typing import Any

from trainers.reporting import plots
from trainers.reporting.html_page import grid, missing, paragraph, picture, section
from trainers.reporting.run_reader import Predictions, Test
from trainers.reporting.wording import interval, p_value
from tunejury_jax.figures.reliability import reliability_diagram
from tunejury_jax.metrics import Accuracy

__all__ = ["calibration", "facts_of", "margins", "sources"]


def facts_of(test: Test) -> list[tuple[str, str]]:
    """What was measured on held-out pairs, each number with its interval or its p-value."""
    a, loss, ece = test.accuracy, test.log_loss, test.ece
    note = f"accuracy on the {test.split} split, 95% interval {interval(a)}: {a.correct} right and {a.undecided} "
    note += f"undecided of {a.n_decisive} decisive pairs; {a.ties} ties left out"
    cards = [(f"{a.value:.1%}", note)]
    chance = f"chance; binomial test of the head against it: {p_value(test.chance.p)}"
    cards.append((f"{test.chance.value:.1%}", chance))
    if test.baselines:
        name, (b, rule) = max(test.baselines.items(), key=lambda item: item[1][0].value)
        note = f"strongest baseline, {name}, 95% interval {interval(b)}; McNemar test of the head against it: "
        cards.append((f"{b.value:.1%}", note + p_value(rule.p)))
    cards.append((f"{loss.value:.4f}", f"log loss, nats per pair, 95% interval {loss.low:.4f} to {loss.high:.4f}"))
    cards.append((f"{ece.value:.4f}", f"calibration error (ECE), 95% interval {ece.low:.4f} to {ece.high:.4f}"))
    return cards


def sources(test: Test | None) -> str:
    """Accuracy of all pairs and of each source, beside chance and the baselines."""
    title = "Accuracy by source"
    if not test:
        return section(title, missing("test/metrics.json", "accuracies"))
    baselines = {name: accuracy for name, (accuracy, _) in test.baselines.items()}
    figure = plots.accuracy_by_source(test.accuracy, test.by_source, baselines)
    named = {"all sources": test.accuracy, **test.by_source}
    alt = "Dot chart of accuracies: " + ", ".join(f"{name} {a.value:.1%}" for name, a in named.items()) + "."
    rows = [[name, *_accuracy_cells(a)] for name, a in named.items()]
    against = [[name, *_accuracy_cells(a), p_value(rule.p), rule.rule] for name, (a, rule) in test.baselines.items()]
    columns = ["accuracy", "95% interval", "decisive", "right", "undecided", "ties left out"]
    parts = [picture(figure, alt), grid(["source", *columns], rows)]
    parts += [grid(["baseline", *columns, "head against it", "rule"], against)] * bool(against)
    parts += [grid(["pairs left out of the test", "count"], list(test.skipped.items()))] * bool(test.skipped)
    return section(title, *parts)


def calibration(test: Test | None) -> str:
    """Whether the head is right as often as it claims."""
    if not test or not test.bins:
        return section("Calibration", missing("test/metrics.json", "reliability bins"))
    alt = "Reliability diagram, confidence and accuracy of each bin: "
    alt += ", ".join(f"{b.confidence:.1%} and {b.accuracy:.1%}" for b in test.bins) + "."
    note = "On the dotted line the head is right as often as it claims; above it, it is too modest; below, too sure."
    return section("Calibration", picture(reliability_diagram(test.bins), alt), paragraph(note))


def margins(predictions: Predictions | None) -> str:
    """How far apart the head sees the clips of a pair."""
    if predictions is None:
        return section("Margins", missing("test/predictions.csv", "margins"))
    alt = "Histogram of the margins of decisive pairs, towards the preferred clip and away from it."
    return section("Margins", picture(plots.margin_histogram(*predictions), alt))


def _accuracy_cells(a: Accuracy) -> list[Any]:
    return [f"{a.value:.1%}", interval(a), a.n_decisive, a.correct, a.undecided, a.ties]
