"""How accurate anchors of K labels are, and how well calibrated."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tunejury_jax.figures.canvas import COLOURS, finish, new_figure

__all__ = ["draw"]


def draw(document: Mapping[str, Any]) -> Figure:
    """Accuracy and log loss over K of each method, as `tunejury calibrate ksweep --json` writes them."""
    methods = document["methods"]
    figure = new_figure(3.8, width_in=8.0)
    accuracy, loss = figure.subplots(1, 2)
    for number, (name, rows) in enumerate(methods.items()):
        places = np.arange(len(rows)) + 0.08 * (number - (len(methods) - 1) / 2)  # side by side, so that bars are seen
        look: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "marker": "o", "markersize": 4}
        values = [(100 * row["mean"], 100 * row["std"]) for row in rows]
        accuracy.errorbar(places, *np.array(values).T, **look, linewidth=1.2, elinewidth=0.8, label=name)
        loss.plot(range(len(rows)), [np.mean(row["log_loss"]) for row in rows], **look)
    for axes in (accuracy, loss):
        axes.set_xticks(range(len(rows)), [str(row["k"]) for row in rows])
        axes.set_xlabel("labels K")
    seeds = len(rows[0]["correct"])
    accuracy.set_ylabel(f"accuracy (%) ± std, {seeds} seeds")
    loss.set_ylabel("log loss (nats per battle)")
    return finish(figure, accuracy, loss)
