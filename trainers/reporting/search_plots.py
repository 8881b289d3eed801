"""The pictures that compare the trials of a sweep by their hyper-parameters."""

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainers.reporting.axis_ends import loss_range
from trainers.reporting.importance import Importance
from trainers.reporting.run_reader import Trial, best_of
from trainers.reporting.value_axes import value_axis
from tunejury_jax.figures.canvas import BLUE, GREY, STAR, finish, new_figure, plain

__all__ = ["hyper_parameters", "importance_chart", "varied"]


def varied(trials: Sequence[Trial]) -> list[str]:
    """The hyper-parameters that took at least two values among the ranked trials, in order of appearance."""
    seen: dict[str, set[str]] = {}
    for trial in trials:
        for name, value in trial.params.items() if trial.ranked else ():
            seen.setdefault(name, set()).add(json.dumps(value))
    return [name for name, values in seen.items() if len(values) > 1]


def hyper_parameters(trials: Sequence[Trial]) -> Figure:
    """Validation loss against each varied hyper-parameter, a panel each; the best trial is a star.

    Raises:
        ValueError: Nothing varied among the ranked trials.
    """
    names, ranked = varied(trials), [trial for trial in trials if trial.ranked]
    if not names:
        raise ValueError(f"trials: expected a hyper-parameter of at least two values, got {len(ranked)} ranked trials")
    rows = math.ceil(len(names) / 2)
    figure = new_figure(0.3 + 2.7 * rows)
    panels = figure.subplots(rows, 2, sharey=True, squeeze=False).ravel()
    losses = np.array([trial.valid_loss for trial in ranked], float)
    loss_range(panels[0], losses)
    beyond = int((losses > panels[0].get_ylim()[1]).sum())
    if beyond:
        figure.suptitle(f"{beyond} of {len(losses)} trials lie above the range: triangles", fontsize=9, color="#555555")
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, name, [trial for trial in ranked if name in trial.params], best_of(ranked))
    for axes in panels[len(names) :]:
        axes.remove()
    figure.supylabel("validation loss (nats per pair)", fontsize=10)
    return finish(figure, *panels[: len(names)], legend=False)


def importance_chart(importances: Mapping[str, Importance]) -> Figure:
    """Each hyper-parameter's share of the importance, its spread over redraws, and what chance alone reaches."""
    figure = new_figure(1.5 + 0.42 * len(importances))
    axes = figure.subplots()
    rows, found = range(len(importances)), list(importances.values())
    axes.barh(rows, [i.chance for i in found], color="#DDDDDD", hatch="///", edgecolor=GREY, label="reached by chance")
    axes.hlines(rows, [i.low for i in found], [i.high for i in found], color=BLUE, linewidth=2)
    axes.plot([i.value for i in found], rows, "o", color=BLUE, markersize=7, label="share, with 95% of redraws")
    axes.set_yticks(rows, [plain(name) for name in importances])
    axes.set(xlabel="share of the importance (%)", ylabel="hyper-parameter", xlim=(0, 1.02))
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
    return finish(figure, axes)


def _panel(axes: Axes, name: str, trials: Sequence[Trial], best: Trial | None) -> None:
    x = value_axis(axes, [trial.params[name] for trial in trials])
    losses, top = np.array([trial.valid_loss for trial in trials], float), axes.get_ylim()[1]
    axes.plot(x, losses, "o", color=BLUE, markersize=4.5, alpha=0.6, markeredgewidth=0)
    if (losses > top).any():  # unclipped and empty, it would collapse the layout
        axes.plot(x[losses > top], np.full_like(x[losses > top], top), "^", color=GREY, markersize=7, clip_on=False)
    stars = [trial is best for trial in trials]
    axes.plot(x[stars], losses[stars], "*", **STAR)
    axes.set_xlabel(plain(name))
