"""Parallel coordinates: a trial is one line through all its hyper-parameters, down to its validation loss.

The axes lie one above the other, not side by side, so that names and values of any length have room.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from trainers.reporting.axis_ends import loss_limits
from trainers.reporting.run_reader import Trial
from trainers.reporting.search_plots import varied
from trainers.reporting.value_axes import Values, category, numeric, value_axis
from tunejury_jax.figures.canvas import BLUE, GREY, STAR, freeze, new_figure, plain

__all__ = ["parallel_coordinates"]

GOOD = 4
"""Trials after the best that are drawn in colour."""
FAN = 0.7
"""Width over which the lines of a category are spread, where 1 is the distance of two categories."""

BEST: dict[str, Any] = {**STAR, "marker": "*", "linewidth": 2.2}
NEXT: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 4, "linewidth": 1.4, "linestyle": "--"}

Lines = Float[np.ndarray, "trials axes 2"]


def parallel_coordinates(trials: Sequence[Trial]) -> Figure:
    """A line for each ranked trial through every varied hyper-parameter and its loss; the best five stand out.

    Raises:
        ValueError: Nothing varied among the ranked trials.
    """
    ranked = sorted((trial for trial in trials if trial.ranked), key=lambda t: (t.valid_loss, t.trial))
    names = varied(ranked)
    if not names:
        raise ValueError(f"trials: expected a hyper-parameter of at least two values, got {len(ranked)} ranked trials")
    figure = new_figure(1.3 + 0.85 * (len(names) + 1))
    panels = figure.subplots(len(names) + 1, 1)
    places = [_parameter_axis(axes, name, ranked) for axes, name in zip(panels, names, strict=False)]
    places.append(_loss_axis(panels[-1], np.array([trial.valid_loss for trial in ranked], float)))
    for axes, name in zip(panels, [*map(plain, names), "validation loss"], strict=True):
        _bare(axes, name)
    figure.legend(handles=_legend(ranked), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    freeze(figure)
    _draw(figure, np.stack([_in_figure(axes, x) for axes, x in zip(panels, places, strict=True)], axis=1))
    return figure


def _parameter_axis(axes: Axes, name: str, trials: Sequence[Trial]) -> Values:
    """Where each trial, best first, crosses an axis; NaN for a trial without this hyper-parameter."""
    has = np.array([name in trial.params for trial in trials])
    values = [trial.params[name] for trial in trials if name in trial.params]
    x = np.full(len(trials), np.nan)
    x[has] = value_axis(axes, values)
    if not numeric(values):
        x[has] += _fan([category(value) for value in values])
    axes.plot(x, np.zeros(len(x)), visible=False)  # fits the axis to the values
    return x


def _fan(names: Sequence[str]) -> Values:
    """Offsets that lay the lines of each category side by side, in the order of the trials."""
    offsets, labels = np.zeros(len(names)), np.array(names)
    for name in dict.fromkeys(names):
        offsets[labels == name] = FAN * _centred(int((labels == name).sum()))
    return offsets


def _centred(count: int) -> Values:
    return (np.arange(count) + 0.5) / count - 0.5


def _loss_axis(axes: Axes, losses: Values) -> Values:
    low, high = axes.set_xlim(loss_limits(losses))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params("x", labelsize=8.5)
    beyond = int((losses > high).sum())
    axes.set_xlabel("nats per pair" + (f"; {beyond} of {len(losses)} trials lie beyond the end" if beyond else ""))
    return np.clip(losses, low, high)


def _bare(axes: Axes, name: str) -> None:
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.patch.set_visible(False)
    axes.set(yticks=[], ylim=(0, 1))
    axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9, y=0.0)
    for label in axes.get_xticklabels():
        label.set_bbox({"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.6})


def _legend(trials: Sequence[Trial]) -> list[Line2D]:
    good, others = len(trials[1 : 1 + GOOD]), len(trials[1 + GOOD :])
    handles = [Line2D([], [], label=f"best, trial {trials[0].trial}", **BEST)]
    if good:
        handles.append(Line2D([], [], label=f"next {good}", **NEXT))
    if others:
        handles.append(Line2D([], [], linewidth=0.8, color=GREY, label=f"{others} others"))
    return handles


def _in_figure(axes: Axes, x: Values) -> Float[np.ndarray, "trials 2"]:
    points = np.column_stack([x, np.zeros(len(x))])
    return axes.figure.transSubfigure.inverted().transform(axes.transData.transform(points))


def _draw(figure: Figure, lines: Lines) -> None:
    """Draws the trials, best first, behind the axes, so that the values stay legible."""
    others = list(lines[1 + GOOD :])
    style: dict[str, Any] = {"transform": figure.transSubfigure, "zorder": -3}
    faint = max(0.25, min(0.8, 20 / (len(others) or 1)))
    figure.add_artist(LineCollection(others, colors=GREY, linewidths=0.8, alpha=faint, **style))
    for line in lines[GOOD:0:-1]:
        _highlight(figure, line, NEXT)
    _highlight(figure, lines[0], BEST)


def _highlight(figure: Figure, line: Float[np.ndarray, "axes 2"], style: Mapping[str, Any]) -> None:
    figure.add_artist(Line2D(*line.T, zorder=-2, **{**style, "marker": None}))
    figure.add_artist(Line2D(*line.T, zorder=6, **{**style, "linestyle": "none"}))
