"""What all pictures have in common: size, colours, legends, PNG and PDF.

No pyplot: a figure belongs to whoever asked for it, and nothing global is left behind. Colours are Okabe and Ito's,
which all common kinds of colour vision tell apart, and none carries a meaning that shape or place does not. Names come
from files, so they are drawn letter by letter and never read as TeX.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

__all__ = ["BLUE", "COLOURS", "GREEN", "GREY", "ORANGE", "PURPLE", "STAR"]
__all__ += ["finish", "freeze", "new_figure", "note", "plain", "png", "save"]

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#808080"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#E69F00", "#56B4E9", "black", GREY)
"""Of several lines, the first first."""
WIDTH_IN, DPI = 5.0, 200
STAR: dict[str, Any] = {"color": ORANGE, "markersize": 14, "markeredgecolor": "white"}


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure; by default as wide as the page of a report shows it."""
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    return Figure(figsize=(width_in, height_in), dpi=DPI, layout=layout, facecolor="white")


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


def save(figure: Figure, stem: Path) -> list[Path]:
    """Writes the figure as `stem`.png and `stem`.pdf; returns their paths."""
    paths = [stem.with_name(stem.name + suffix) for suffix in (".png", ".pdf")]
    with _unknown_letters():
        for path in paths:
            figure.savefig(path, dpi="figure")
    return paths


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
