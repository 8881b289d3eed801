"""The picture of over-optimisation: what two heads gain over the divergence that selecting costs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tunejury_jax.applications.best_of_n.over_optimisation import Fit
from tunejury_jax.figures.canvas import BLUE, ORANGE, finish, new_figure

__all__ = ["draw"]

HEADS = {"proxy": ("head that selects", BLUE), "judge": ("head that judges", ORANGE)}


def draw(document: Mapping[str, Any]) -> Figure:
    """The document of `over_optimisation.json`: gains against KL, their fits dashed; bands are 95 % intervals."""
    figure = new_figure(4.5, 7.0)
    axes, rows = figure.subplots(), document["rows"]
    kl = np.array([row["kl"] for row in rows], np.float64)
    for head, (label, colour) in HEADS.items():
        low, value, high = ([row[head][part] for row in rows] for part in ("low", "value", "high"))
        axes.plot(kl, value, ".-", color=colour, label=label)
        axes.fill_between(kl, low, high, color=colour, alpha=0.2, linewidth=0)
        if head in document["fits"]:
            _fit(axes, Fit(**document["fits"][head]), kl[-1], colour)
    axes.set(xlabel="KL of the best of n from the generator, in nats", ylabel="gain in standard deviations")
    finish(figure, axes)
    above = axes.secondary_xaxis("top")
    sizes = [2**power for power in range(len(rows).bit_length())]
    above.set_xticks(kl[np.array(sizes) - 1], [str(size) for size in sizes])
    above.set_xlabel("n")
    return figure


def _fit(axes: Axes, fit: Fit, most: float, colour: str) -> None:
    kl = np.linspace(0, most, 200)
    label = f"d ({fit.alpha:.2f} {'-' if fit.beta >= 0 else '+'} {abs(fit.beta):.2f} d), d = √KL"
    axes.plot(kl, fit.at(kl), "--", color=colour, linewidth=1, label=label)
