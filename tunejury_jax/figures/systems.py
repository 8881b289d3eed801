"""Systems: what the head makes of them against what listeners do."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from tunejury_jax.figures.canvas import BLUE, finish, new_figure, note, plain

__all__ = ["draw"]


def draw(document: Mapping[str, Any]) -> Figure:
    """Win rate over mean score of each system, as `tunejury evaluate systems --out` writes them."""
    figure = new_figure(4.6, width_in=6.5)
    axes = figure.subplots()
    for row in document["systems"]:
        score, rate = row["mean_score"], row["win_rate"]
        axes.plot(_ends(score), [100 * rate["value"]] * 2, color=BLUE, linewidth=1)
        axes.plot([score["value"]] * 2, [100 * end for end in _ends(rate)], color=BLUE, linewidth=1)
        axes.plot(score["value"], 100 * rate["value"], "o", color=BLUE, markersize=5)
        place = (score["value"], 100 * rate["value"])
        axes.annotate(plain(row["system"]), place, xytext=(4, 4), textcoords="offset points", fontsize=8)
    axes.axhline(50, color="black", linewidth=1, linestyle=":")
    found = document["win_rate"]["spearman"]
    if found["value"] is not None:
        interval = f" ({found['low']:.2f} to {found['high']:.2f})" if found["low"] is not None else ""
        note(axes, f"Spearman {found['value']:.2f}{interval}, {found['n']} systems")
    axes.set(xlabel="mean score (reward), 95% interval", ylabel="listeners' win rate (%), 95% interval")
    return finish(figure, axes, legend=False)


def _ends(estimate: Mapping[str, Any]) -> tuple[float, float]:
    """Of the interval; the value itself where there is none."""
    value = estimate["value"]
    return (value, value) if estimate["low"] is None else (estimate["low"], estimate["high"])
