"""How often a head is right where it is so sure: accuracy over confidence, and the win rate over the margin."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from scipy.special import expit

from tunejury_jax.figures.canvas import BLUE, finish, new_figure
from tunejury_jax.metrics import ReliabilityBin, wilson

__all__ = ["draw", "reliability_diagram"]


def draw(document: Mapping[str, Any]) -> Figure:
    """Accuracy and win rate of the bins in `metrics.json`, as `python -m trainers.evaluate` writes it."""
    bins = [ReliabilityBin(**{name: row[name] for name in ReliabilityBin._fields}) for row in document["bins"]]
    figure = new_figure(3.6, width_in=8.0)
    confidence, margin = figure.subplots(1, 2, sharey=True)
    _confidence(confidence, bins)
    confidence.set(xlabel="confidence (%), sigmoid of |margin|", ylabel="accuracy (%)")
    confidence.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    _points(margin, [b.mean_margin for b in bins], bins)
    sizes = np.linspace(0, 1.1 * bins[-1].mean_margin, 200)
    margin.plot(sizes, expit(sizes), ":", color="black", linewidth=1, label="promised, sigmoid of |margin|")
    margin.set_xlabel("|margin|, reward")
    return finish(figure, confidence, margin)


def reliability_diagram(bins: Sequence[ReliabilityBin]) -> Figure:
    """Accuracy against confidence in each bin, with Wilson 95 % intervals, over how many pairs each bin holds."""
    figure = new_figure(5.0)
    axes, counts = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    _confidence(axes, bins)
    axes.set_ylabel("accuracy (%)")
    edges = np.array([(expit(b.lo), expit(b.hi)) for b in bins])
    widths = np.maximum(edges[:, 1] - edges[:, 0], 0.002)
    counts.bar(edges[:, 0], [b.n for b in bins], widths, align="edge", color=BLUE, alpha=0.35, edgecolor=BLUE)
    counts.set(ylabel="pairs", xlabel="confidence (%), sigmoid of |margin|")
    counts.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    return finish(figure, axes, counts)


def _confidence(axes: Axes, bins: Sequence[ReliabilityBin]) -> None:
    _points(axes, [b.confidence for b in bins], bins, label="bins, 95% interval")
    axes.axline((0.5, 0.5), slope=1, color="black", linewidth=1, linestyle=":", label="perfectly calibrated")
    axes.set_xlim(0.49, 1.01)


def _points(axes: Axes, x: Sequence[float], bins: Sequence[ReliabilityBin], label: str = "") -> None:
    for place, b in zip(x, bins, strict=True):
        axes.plot([place] * 2, wilson(b.accuracy * b.n, b.n), color=BLUE, linewidth=1.5)
    axes.plot(x, [b.accuracy for b in bins], "o-", color=BLUE, label=label)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
