"""What the pictures of a report have in common: size, colours, the ends of a loss axis, legends, PNG.

No pyplot: a figure belongs to whoever asked for it, and nothing global is left behind. One exploding curve must not
flatten the others, so a loss axis ends where `window` says, and the picture counts what lies beyond. Colours are Okabe
and Ito's, which all common kinds of colour vision tell apart, and none carries a meaning that shape or place does not.
Names come from files, so they are drawn letter by letter and never read as TeX.
"""

import contextlib
import io
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "STAR",
    "Values",
    "finish",
    "freeze",
    "loss_limits",
    "loss_range",
]
__all__ += ["new_figure", "note", "plain", "png", "window"]

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#808080"
WIDTH_IN, DPI = 5.0, 200
STAR: dict[str, Any] = {"color": ORANGE, "markersize": 14, "markeredgecolor": "white"}
NO_OPINION = math.log(2)

Values = Float[np.ndarray, " values"]


def new_figure(height_in: float) -> Figure:
    """An empty figure as wide as the page shows it."""
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    return Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout=layout, facecolor="white")


def finish(figure: Figure, *panels: Axes, legend: bool = True) -> Figure:
    """Gives all panels the same look, and the figure a legend below them."""
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E4E4E4", linewidth=0.6)
        axes.set_axisbelow(True)
    if legend:
        wide = max(len(str(label)) for axes in panels for label in axes.get_legend_handles_labels()[1]) > 34
        figure.legend(loc="outside lower center", ncols=1 if wide else 2, frameon=False, fontsize=9)
    return figure


def note(axes: Axes, text: str) -> None:
    """A remark above the panel on what it leaves out."""
    axes.set_title(text, loc="left", fontsize=9, color="#555555")


def window(values: Values, reach: float = 1.5) -> tuple[float, float]:
    """From the least value to the greatest that is within `reach` interquartile ranges above the upper quartile."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    lower, upper = np.quantile(values, [0.25, 0.75])
    return float(values.min()), float(values[values <= upper + reach * (upper - lower)].max())


def loss_limits(losses: Values) -> tuple[float, float]:
    """The ends of a loss axis: `window` with a margin (nats per pair)."""
    low, high = window(losses)
    margin = 0.06 * (high - low) or 0.05
    return low - margin, high + margin


def loss_range(axes: Axes, losses: Values) -> None:
    """Sets the loss axis of a panel, and marks the loss of a head without an opinion where it is inside."""
    low, high = axes.set_ylim(loss_limits(losses))
    if low < NO_OPINION < high:
        axes.axhline(NO_OPINION, color="black", linewidth=1, linestyle=":", label="no opinion (ln 2)")


def plain(name: str, length: int = 24) -> str:
    """The name as it is drawn: one line, its middle cut to make it `length` long, with no TeX in it."""
    line = " ".join(name.encode("utf-8", "replace").decode().split())
    if len(line) > length:
        line = line[: length // 2] + "…" + line[len(line) - (length - 1) // 2 :]
    return line.replace("$", r"\$")


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with _unknown_letters():
        figure.savefig(buffer, format="png", dpi="figure", metadata={"Software": None})
    return buffer.getvalue()


def freeze(figure: Figure) -> None:
    """Lays the figure out for good, so that what depends on where its panels are can be drawn."""
    with _unknown_letters():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")


@contextlib.contextmanager
def _unknown_letters() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name in a script the font lacks is drawn as boxes
        yield
