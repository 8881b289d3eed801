"""The parts of a report that a preset brings along: its tables, and its heads over their seeds."""

from collections.abc import Sequence

from trainers.reporting.html_page import grid, paragraph, picture, section
from trainers.reporting.run_reader import HeadFit, Table
from trainers.reporting.seed_spread import Spread, by_head, seed_chart, spread
from trainers.reporting.wording import count, percent

__all__ = ["seeds", "tables"]


def tables(found: Sequence[Table] | None) -> list[str]:
    """A section for each table; none where the run brings none."""
    return [section(t.title, *[paragraph(t.note)] * bool(t.note), grid(t.header, t.rows)) for t in found or []]


def seeds(fits: Sequence[HeadFit] | None) -> list[str]:
    """The accuracy of each head over its seeds, as a picture and, by source, as a table."""
    if not fits:
        return []
    heads = by_head(fits)
    spreads = {head: spread([fit.accuracy["all"] for fit in found]) for head, found in heads.items()}
    alt = "Strip chart of accuracy on all pairs over seeds: "
    alt += ", ".join(f"{head} {s.mean:.1%} ({count(s.seeds, 'seed')})" for head, s in spreads.items()) + "."
    note = "Mean and sample standard deviation over the seeds say how much the training varies; the 95% intervals of "
    note += "the best and the worst seed say how sure an accuracy on so few pairs can be."
    single = sum(s.std is None for s in spreads.values())
    note += f" {count(single, 'head')} with one seed: no standard deviation." * bool(single)
    header = ["head", "pairs", "seeds", "mean", "standard deviation", "best (95% interval)", "worst (95% interval)"]
    rows = [[head, *row] for head, found in heads.items() for row in _rows(found)]
    return [section("Spread over seeds", picture(seed_chart(heads), alt), paragraph(note), grid(header, rows))]


def _rows(fits: Sequence[HeadFit]) -> list[list[object]]:
    sources = dict.fromkeys(source for fit in fits for source in fit.accuracy)
    by_source = {s: [fit.accuracy[s] for fit in fits if s in fit.accuracy] for s in sources}
    return [[source, *_cells(spread(accuracies))] for source, accuracies in by_source.items()]


def _cells(s: Spread) -> list[object]:
    std = "one seed: none" if s.std is None else f"{100 * s.std:.2f} points"
    return [s.seeds, f"{s.mean:.1%}", std, percent(s.best), percent(s.worst)]
