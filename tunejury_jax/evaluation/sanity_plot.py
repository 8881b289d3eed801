"""The picture of the sanity ladders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["draw", "save"]

COLOUR, PALE = "#0072B2", "#A9CCE3"


def draw(document: Mapping[str, Any]) -> Figure:
    """What `ladders` returned, a panel each."""
    figure = Figure(figsize=(11, 8), layout="constrained", facecolor="white")
    boundary, snr, clipping, length, segment, reversal = figure.subplots(2, 3).flat
    _bars(boundary, document["boundary"])
    _rungs(snr, document["snr"]["rungs"], "noise, SNR in dB")
    _rungs(clipping, document["clipping"]["rungs"], "clipping, share of the peak")
    _rungs(length, document["length"]["rungs"], "length in s")
    for name, found in document["segment"].items():
        windows = found["windows"]
        segment.plot([w["start_s"] for w in windows], [w["score"] for w in windows], marker="o", label=name)
    segment.set_xlabel("start of the window in s; bad from 20 to 30")
    segment.legend(frameon=False)
    _rungs(reversal, [document["reversal"][side] for side in ("forward", "backward")], "time")
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("score")
    return figure


def save(document: Mapping[str, Any], stem: Path) -> list[Path]:
    """Writes the picture as PNG and PDF; returns their paths."""
    figure, paths = draw(document), [stem.with_suffix(suffix) for suffix in (".png", ".pdf")]
    for path in paths:
        figure.savefig(path, dpi=150)
    return paths


def _bars(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    known = [row for row in rows if row["score"] is not None]
    axes.barh([row["input"] for row in known], [row["score"] for row in known], color=COLOUR)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)


def _rungs(axes: Axes, rungs: Sequence[Mapping[str, Any]], label: str) -> None:
    places = range(len(rungs))
    for place, rung in zip(places, rungs, strict=True):
        axes.plot([place] * len(rung["scores"]), rung["scores"], "o", color=PALE, markersize=3)
    axes.plot(places, [rung["mean"] for rung in rungs], "o-", color=COLOUR)
    axes.set_xticks(list(places), [str(rung["level"]) for rung in rungs])
    axes.set_xlabel(label)
