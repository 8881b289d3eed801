"""Scores of groups of clips, or over the deciles of a number."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from tunejury_jax.figures.canvas import BLUE, finish, new_figure, note, plain

__all__ = ["draw"]


def draw(document: Mapping[str, Any]) -> Figure:
    """Mean score of each group or decile with its 95 % interval, as `tunejury evaluate probe --out` writes them."""
    if "deciles" in document:
        rows = [(f"{row['from']:g} to {row['to']:g}", row) for row in document["deciles"]]
    else:
        rows = [(plain(row["group"]), row) for row in document["groups"]]
    figure = new_figure(1.4 + 0.34 * len(rows), width_in=6.0)
    axes = figure.subplots()
    for place, (_, row) in enumerate(rows):
        if row["std"] is not None and row["n"] > 1:
            half = _students(row["n"]) * row["std"] / math.sqrt(row["n"])
            axes.plot([row["mean"] - half, row["mean"] + half], [place] * 2, color=BLUE, linewidth=2)
        axes.plot(row["mean"], place, "o", color=BLUE, markersize=5)
    axes.set_yticks(range(len(rows)), [f"{name}  (n = {row['n']})" for name, row in rows])
    axes.invert_yaxis()
    if "srcc" in document:
        note(axes, f"SRCC {document['srcc']['value']:.3f}")
    axes.set_xlabel("mean score (reward), 95% interval")
    return finish(figure, axes, legend=False)


def _students(n: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 0.975))
