"""How much a result hangs on the seed: the accuracies of each head over its seeds."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from trainers.reporting.run_reader import HeadFit
from tunejury_jax.figures.canvas import BLUE, ORANGE, finish, new_figure, plain
from tunejury_jax.metrics import Accuracy

__all__ = ["Spread", "by_head", "seed_chart", "spread"]


class Spread(NamedTuple):
    """Accuracies of one head over its seeds; `std` is the sample's, None of a single seed."""

    seeds: int
    mean: float
    std: float | None
    best: Accuracy
    worst: Accuracy


def by_head(fits: Sequence[HeadFit]) -> dict[str, list[HeadFit]]:
    """The fits of each head by seed, heads in order of appearance."""
    heads: dict[str, list[HeadFit]] = {}
    for fit in fits:
        heads.setdefault(fit.head, []).append(fit)
    return {head: sorted(found, key=lambda fit: fit.seed) for head, found in heads.items()}


def spread(accuracies: Sequence[Accuracy]) -> Spread:
    """Mean, standard deviation and extremes of at least one accuracy."""
    values = [a.value for a in accuracies]
    std = statistics.stdev(values) if len(values) > 1 else None
    extremes = (max(accuracies, key=lambda a: a.value), min(accuracies, key=lambda a: a.value))
    return Spread(len(values), statistics.fmean(values), std, *extremes)


def seed_chart(heads: dict[str, list[HeadFit]]) -> Figure:
    """Accuracy on all pairs: a row for each head, a dot for each seed, a bar for mean and standard deviation."""
    figure = new_figure(1.5 + 0.5 * len(heads))
    axes = figure.subplots()
    for y, fits in enumerate(heads.values()):
        found = spread([fit.accuracy["all"] for fit in fits])
        # Seeds of equal accuracy lie one above the other.
        rows = [y + 0.4 * ((i + 0.5) / len(fits) - 0.5) for i in range(len(fits))]
        values = [fit.accuracy["all"].value for fit in fits]
        axes.errorbar(found.mean, y, xerr=found.std, fmt="D", color=ORANGE, capsize=5, linewidth=2)
        axes.plot(values, rows, "o", color=BLUE, markersize=5, fillstyle="none", zorder=4)
    axes.plot([], [], "o", color=BLUE, fillstyle="none", label="one seed")
    axes.errorbar([], [], xerr=[], fmt="D", color=ORANGE, capsize=5, label="mean ± standard deviation")
    axes.set_yticks(range(len(heads)), [plain(head, 30) for head in heads])
    axes.set_ylim(len(heads) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None, symbol=""))
    axes.set(xlabel="accuracy on all pairs (%)", ylabel="head")
    return finish(figure, axes)
