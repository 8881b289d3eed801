"""Released scores of music collections beside each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tunejury_jax.figures.canvas import BLUE, finish, new_figure, note, plain

__all__ = ["draw"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def draw(document: Mapping[str, Any]) -> Figure:
    """Median, middle half and middle nine tenths of each collection, of `tunejury percentiles build`."""
    collections = document["collections"]
    found = {name: np.quantile(np.array(each["kept"], float), QUANTILES) for name, each in collections.items()}
    order = sorted(found, key=lambda name: -found[name][2])
    figure = new_figure(1.3 + 0.42 * len(order), width_in=6.5)
    axes = figure.subplots()
    for place, name in enumerate(order):
        low, lower, median, upper, high = found[name]
        axes.plot([low, high], [place] * 2, color=BLUE, linewidth=1)
        axes.plot([lower, upper], [place] * 2, color=BLUE, linewidth=7, solid_capstyle="butt", alpha=0.5)
        axes.plot(median, place, "|", color="black", markersize=14, markeredgewidth=2)
    axes.set_yticks(range(len(order)), [f"{plain(name)}  (n = {collections[name]['n']:,})" for name in order])
    axes.invert_yaxis()
    note(axes, "median, middle half, middle nine tenths; negative is normal")
    axes.set_xlabel("reward")
    return finish(figure, axes, legend=False)
