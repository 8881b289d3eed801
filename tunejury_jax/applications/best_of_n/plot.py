"""The curve of best of N: what becomes of the reward, and of everything else that was measured, as N grows."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tunejury_jax.figures.canvas import BLUE, finish, new_figure

__all__ = ["draw"]

LABELS = {
    "reward": "mean reward",
    "clap_score": "CLAP score (higher: fits the prompt)",
    "fad": "FAD (lower: near the reference)",
    "mad": "MAD (lower: near the reference)",
    "mpcd": "MPCD (higher: more varied)",
}
WIDTH_IN, HEIGHT_IN = 4.5, 3.2


def draw(document: Mapping[str, Any]) -> Figure:
    """The document of `curve.json`, a panel for each quantity; bands are 95 % intervals."""
    rows = document["rows"]
    names, sizes = [name for name in LABELS if name in rows[0]], [row["n"] for row in rows]
    columns = min(2, len(names))
    lines = -(-len(names) // columns)
    figure = new_figure(HEIGHT_IN * lines, WIDTH_IN * columns)
    for place, name in enumerate(names, 1):
        axes = figure.add_subplot(lines, columns, place)
        low, value, high = ([row[name][part] for row in rows] for part in ("low", "value", "high"))
        axes.plot(sizes, value, "o-", color=BLUE)
        if None not in low:
            axes.fill_between(sizes, low, high, color=BLUE, alpha=0.2, linewidth=0)
        axes.set(xlabel="N", ylabel=LABELS[name], xscale="log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
    return finish(figure, *figure.axes, legend=False)
