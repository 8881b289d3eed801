"""How evaluations are printed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from trainers.paper_table import percent
from trainers.preset_results import ALL
from tunejury_jax.metrics import Accuracy

__all__ = ["show_accuracy", "show_evaluation", "show_matrix"]

MATRIX = "Trained on (rows), tested on (columns), split {!r}"
MATRIX_NOTE = """Accuracy in percent on decisive pairs, whose number is in brackets above, with Wilson 95 % intervals. \
gain: accuracy of the head that left nothing out minus that of the row, in points, on the pairs of the source that was \
left out; gain': on all pairs; both with paired bootstrap 95 % intervals."""
ERRORS = {"log_loss": "log loss", "brier": "Brier score", "ece": "ECE"}
"""Of probabilities: the lower the better."""

Metrics = Mapping[str, Any]


def show_accuracy(console: Console, metrics: Metrics) -> None:
    """Prints held-out accuracy beside chance and the trivial rules, and what was skipped."""
    table = _table(
        "pairs", "accuracy", "95 % interval", "right", "of", "p", title=f"Accuracy on split {metrics['split']!r}"
    )
    table.add_row("head, all", *_accuracy_cells(metrics["accuracy"]), f"{_p(metrics['chance']['p'])} vs chance")
    for name, row in _parts(metrics).items():
        table.add_row(f"head, {name}", *_accuracy_cells(row), "")
    for name, row in metrics["baselines"].items():
        table.add_row(f"baseline: {name}", *_accuracy_cells(row), f"{_p(row['p'])} vs head")
    console.print(table)
    ece, loss = metrics["ece"], metrics["log_loss"]
    console.print(f"ECE {ece['value']:.4f} ({_interval(ece)}), log loss {loss['value']:.4f} ({_interval(loss)})")
    counts = metrics["accuracy"]
    console.print(
        f"Ties left out: {counts['ties']}; margin exactly 0: {counts['undecided']}; skipped: {metrics['skipped']}"
    )


def show_evaluation(console: Console, metrics: Metrics) -> None:
    """Prints all that was measured of one head."""
    show_accuracy(console, metrics)
    parts = {ALL: metrics, **_parts(metrics)}
    _show_prompts(console, parts)
    _show_errors(console, parts)
    _show_bins(console, metrics["bins"])
    _show_margins(console, metrics["margins"])
    if metrics["temperature"]:
        _show_temperature(console, metrics["temperature"])
    for note in metrics["notes"]:
        console.print(note)


def show_matrix(console: Console, metrics: Metrics) -> None:
    """Prints heads x sources, and groups that divide a source, with the gains."""
    heads = {head["name"]: head for head in metrics["heads"]}
    cells = {name: {ALL: head["accuracy"], **_parts(head)} for name, head in heads.items()}
    columns = next(iter(cells.values()))  # all are measured on the same pairs
    headings = (f"{column} ({row['n_decisive']})" for column, row in columns.items())
    table = _table("head", "trained without", *headings, "gain", "gain'", title=MATRIX.format(metrics["split"]))
    for name, head in heads.items():
        shares = (percent(Accuracy(**row)) for row in cells[name].values())
        table.add_row(name, _without(head["trained_without"]), *shares, *map(_points, (head["gain"], head["gain_all"])))
    console.print(table)
    for line in (MATRIX_NOTE, *metrics["notes"], f"Skipped: {metrics['skipped']}"):
        console.print(line)


def _show_prompts(console: Console, parts: Mapping[str, Metrics]) -> None:
    whole = parts[ALL]["prompt"]
    if whole is None:
        console.print("Prompts make no difference: the head reads none")
        return
    if not whole["prompted"]:
        console.print("Prompts make no difference: no pair here has one that the head sees")
        return
    table = _table(
        *("pairs", "prompted", "empty", "prompts add", "both right", "only with", "only empty", "neither"),
        *("chi2", "p", "exact p"),
        title="Accuracy with every prompt empty, and McNemar's test (there an undecided pair is not right)",
    )
    for name, part in parts.items():
        table.add_row(name, str(part["prompt"]["prompted"]), *_prompt_cells(part["prompt"]))
    console.print(table)


def _prompt_cells(found: Metrics) -> Iterator[str]:
    """Nothing where there is no prompt to zero."""
    if found["prompted"]:
        difference = found["difference"]
        yield from (f"{found['empty']['value']:.4f}", _points(difference), *map(str, found["table"].values()))
        yield from (f"{difference['chi2']:.2f}", _p(difference["p"]), _p(difference["p_exact"]))


def _show_errors(console: Console, parts: Mapping[str, Metrics]) -> None:
    table = _table("pairs", *ERRORS.values(), title="Probabilities: errors with bootstrap 95 % intervals")
    for name, part in parts.items():
        table.add_row(name, *(_estimate(part[error]) for error in ERRORS))
    console.print(table)


def _show_bins(console: Console, bins: Sequence[Metrics]) -> None:
    table = _table("|margin|", "pairs", "mean", "confidence", "accuracy", "95 % interval", title="Reliability")
    for row in bins:
        cells = (f"{row[name]:.4f}" for name in ("mean_margin", "confidence", "accuracy"))
        table.add_row(f"{row['lo']:.3f} to {row['hi']:.3f}", str(row["n"]), *cells, _interval(row))
    console.print(table)


def _show_margins(console: Console, margins: Mapping[str, Metrics]) -> None:
    shares = [f"{quantile['share']:.0%}" for quantile in margins["all"]["quantiles"]]
    table = _table("pairs", "number", *shares, title="Quantiles of |margin|, with 95 % intervals")
    for name, row in margins.items():
        cells = [f"{one['value']:.3f} ({one['low']:.3f}-{one['high']:.3f})" for one in row["quantiles"]]
        table.add_row(name, str(row["n"]), *(cells or [""] * len(shares)))
    console.print(table)


def _show_temperature(console: Console, found: Metrics) -> None:
    high = "infinity" if found["high"] is None else f"{found['high']:.4f}"
    title = f"Temperature {found['value']:.4f} ({found['low']:.4f} to {high}), fitted to {found['n']} pairs of 'valid'"
    table = _table("error", "before", "after", "change", "which is", title=title)
    for error, name in ERRORS.items():
        before, after, change = (found[when][error] for when in ("before", "after", "change"))
        told = f"{change['value']:+.4f} ({change['low']:+.4f} to {change['high']:+.4f})"
        table.add_row(name, f"{before['value']:.4f}", f"{after['value']:.4f}", told, _verdict(change))
    console.print(table)


def _verdict(change: Metrics) -> str:
    """Of an error."""
    if change["value"] == 0:
        return "the same"
    clear = change["low"] > 0 or change["high"] < 0
    return ("worse" if change["value"] > 0 else "better") + ("" if clear else ", not clearly")


def _parts(metrics: Metrics) -> dict[str, Metrics]:
    """What was measured of each source, and of the groups of those sources that the column divides."""
    divided = {source: found for source, found in metrics["by_group"].items() if len(found) > 1}
    groups = {f"{source}, {value}": part for source, found in divided.items() for value, part in found.items()}
    return {**metrics["by_source"], **groups}


def _table(first: str, *columns: str, title: str) -> Table:
    """A table whose rows can be told apart and whose numbers are whole, however narrow it must be."""
    table = Table(title=title)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _points(difference: Metrics | None) -> str:
    if difference is None:
        return ""
    value, low, high = (100 * difference[name] for name in ("value", "low", "high"))
    return f"{value:+.2f} ({low:+.1f} to {high:+.1f})"


def _without(sources: Sequence[str] | None) -> str:
    return "not known" if sources is None else ", ".join(sources) or "nothing"


def _accuracy_cells(row: Metrics) -> tuple[str, str, str, str]:
    return f"{row['value']:.4f}", _interval(row), str(row["correct"]), str(row["n_decisive"])


def _estimate(row: Metrics) -> str:
    return f"{row['value']:.4f} ({_interval(row)})"


def _interval(row: Metrics) -> str:
    return f"{row['low']:.4f} to {row['high']:.4f}"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-99 else "< 1e-99"
