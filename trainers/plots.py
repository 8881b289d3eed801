"""The pictures of a report, each a matplotlib `Figure` made from plain numbers.

No pyplot: a figure belongs to whoever asked for it, and nothing global is left behind. One exploding curve must not
flatten the others, so a loss axis ends where `_window` says, and the picture counts what lies beyond. Colours are Okabe
and Ito's, which all common kinds of colour vision tell apart, and none carries a meaning that shape or place does not.
Names come from files, so they are drawn letter by letter and never read as TeX.
"""

import io
import json
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from scipy.special import expit

from trainers.run_reader import Epoch, Trial, best_of
from tunejury_jax.metrics import Accuracy, ReliabilityBin, wilson

__all__ = [
    "accuracy_by_source",
    "hyper_parameters",
    "learning_curves",
    "margin_histogram",
    "png",
    "reliability_diagram",
    "varied",
]

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#808080"
BASELINE_LINES = ((ORANGE, "--"), (GREEN, "-."), (PURPLE, (0, (5, 1, 1, 1, 1, 1))))
WIDTH_IN, DPI = 5.0, 200
STAR: dict[str, Any] = {"color": ORANGE, "markersize": 14, "markeredgecolor": "white"}
MAX_CATEGORIES = 6
NO_OPINION = math.log(2)

Values = Float[np.ndarray, " values"]


def learning_curves(epochs: Sequence[Epoch], best: Trial | None) -> Figure:
    """Loss over epochs: validation of every trial, thin; validation, training and best epoch of the best, thick.

    Args:
        epochs: Of all trials, by epoch within a trial.
        best: The trial to show in colour; None draws all alike.
    """
    figure = _figure(4.4)
    axes = figure.subplots()
    shown = [e for e in epochs if best and e.trial == best.trial]
    _other_curves(axes, [e for e in epochs if not (best and e.trial == best.trial)])
    if best and shown:
        _best_curves(axes, shown, best)
    losses = np.array([e.valid_loss for e in epochs] + [e.train_loss for e in shown])
    _loss_range(axes, losses)
    beyond = int((~(losses <= axes.get_ylim()[1])).sum())
    _note(axes, f"{beyond} of {len(losses)} points lie above the range or are not finite" if beyond else "")
    axes.set(xlabel="epoch", ylabel="loss (nats per pair)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    return _finish(figure, axes)


def accuracy_by_source(total: Accuracy, by_source: Mapping[str, Accuracy], baselines: Mapping[str, Accuracy]) -> Figure:
    """Accuracy with its 95 % interval, of all pairs and of each source, beside chance and the strongest baselines."""
    rows = {"all sources": total, **by_source}
    figure = _figure(1.7 + 0.48 * len(rows))
    axes = figure.subplots()
    for y, result in enumerate(rows.values()):
        color, marker = (BLUE, "D") if y == 0 else ("black", "o")
        axes.plot([result.low, result.high], [y, y], color=color, linewidth=2, solid_capstyle="butt")
        axes.plot(result.value, y, marker, color=color, markersize=7)
    axes.axvline(0.5, color="black", linewidth=1, linestyle=":", label="chance (50%)")
    strongest = sorted(baselines, key=lambda name: -baselines[name].value)
    for name, (color, dashes) in zip(strongest, BASELINE_LINES, strict=False):
        label = f"{_plain(name, 34)} ({baselines[name].value:.1%})"
        axes.axvline(baselines[name].value, color=color, linewidth=1.5, linestyle=dashes, label=label)
    labels = [f"{_plain(name)}\n{r.value:.1%} of {r.n_decisive}" for name, r in rows.items()]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="accuracy (%) with 95% interval", ylabel="source")
    return _finish(figure, axes)


def reliability_diagram(bins: Sequence[ReliabilityBin]) -> Figure:
    """Accuracy against confidence in each bin, with Wilson 95 % intervals, over how many pairs each bin holds."""
    figure = _figure(5.0)
    axes, counts = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    for b in bins:
        axes.plot([b.confidence] * 2, wilson(b.accuracy * b.n, b.n), color=BLUE, linewidth=1.5)
    axes.plot([b.confidence for b in bins], [b.accuracy for b in bins], "o-", color=BLUE, label="bins, 95% interval")
    axes.axline((0.5, 0.5), slope=1, color="black", linewidth=1, linestyle=":", label="perfectly calibrated")
    axes.set(ylabel="accuracy (%)", xlim=(0.49, 1.01))
    edges = np.array([(expit(b.lo), expit(b.hi)) for b in bins])
    widths = np.maximum(edges[:, 1] - edges[:, 0], 0.002)
    counts.bar(edges[:, 0], [b.n for b in bins], widths, align="edge", color=BLUE, alpha=0.35, edgecolor=BLUE)
    counts.set(ylabel="pairs", xlabel="confidence (%), sigmoid of |margin|")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    return _finish(figure, axes, counts)


def margin_histogram(margins: Float[np.ndarray, " pairs"], targets: Float[np.ndarray, " pairs"]) -> Figure:
    """How far the margins of decisive pairs point towards the preferred clip: right of 0 is correct."""
    figure = _figure(3.8)
    axes = figure.subplots()
    towards = ((2 * targets - 1) * margins)[targets != 0.5]
    limit = _window(np.abs(towards), reach=3.0)[1] or 1.0
    edges = np.linspace(-limit, limit, 41).tolist()
    right, wrong, undecided = towards[towards > 0], towards[towards < 0], int((towards == 0).sum())
    axes.hist(np.clip(right, 0, limit), edges, color=BLUE, label=f"correct ({len(right)})")
    axes.hist(np.clip(wrong, -limit, 0), edges[:21], color=ORANGE, hatch="///", label=f"incorrect ({len(wrong)})")
    axes.axvline(0, color="black", linewidth=1, label=f"undecided, margin 0 ({undecided})")
    beyond = int((np.abs(towards) > limit).sum())
    _note(axes, f"{beyond} beyond the ends are counted in the outer bars" if beyond else "")
    axes.set(xlabel="margin towards the preferred clip (reward)", ylabel="decisive pairs")
    return _finish(figure, axes)


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
    figure = _figure(0.3 + 2.7 * rows)
    panels = figure.subplots(rows, 2, sharey=True, squeeze=False).ravel()
    losses = np.array([trial.valid_loss for trial in ranked], float)
    _loss_range(panels[0], losses)
    beyond = int((losses > panels[0].get_ylim()[1]).sum())
    if beyond:
        figure.suptitle(f"{beyond} of {len(losses)} trials lie above the range: triangles", fontsize=9, color="#555555")
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, name, [trial for trial in ranked if name in trial.params], best_of(ranked))
    for axes in panels[len(names) :]:
        axes.remove()
    figure.supylabel("validation loss (nats per pair)", fontsize=10)
    return _finish(figure, *panels[: len(names)], legend=False)


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name in a script the font lacks is drawn as boxes
        figure.savefig(buffer, format="png", dpi="figure", metadata={"Software": None})
    return buffer.getvalue()


def _figure(height_in: float) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    return Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout=layout, facecolor="white")


def _finish(figure: Figure, *panels: Axes, legend: bool = True) -> Figure:
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E4E4E4", linewidth=0.6)
        axes.set_axisbelow(True)
    if legend:
        wide = max(len(str(label)) for axes in panels for label in axes.get_legend_handles_labels()[1]) > 34
        figure.legend(loc="outside lower center", ncols=1 if wide else 2, frameon=False, fontsize=9)
    return figure


def _note(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=9, color="#555555")


def _other_curves(axes: Axes, epochs: Sequence[Epoch]) -> None:
    curves: dict[int, list[tuple[int, float]]] = {}
    for epoch in epochs:
        curves.setdefault(epoch.trial, []).append((epoch.epoch, epoch.valid_loss))
    if not curves:
        return
    label = f"validation, {len(curves)} other trials" if len(curves) > 1 else "validation, 1 other trial"
    axes.add_collection(LineCollection(list(curves.values()), colors=GREY, linewidths=0.8, alpha=0.5, label=label))
    ends = np.array([curve[-1] for curve in curves.values()])
    axes.plot(*ends.T, ".", color=GREY, markersize=4)  # where a trial stopped; also shows trials of one epoch


def _best_curves(axes: Axes, epochs: Sequence[Epoch], best: Trial) -> None:
    steps = [e.epoch for e in epochs]
    dot = "." if len(steps) < 3 else ""
    valid, train = f"validation, trial {best.trial}", f"training, trial {best.trial}"
    axes.plot(steps, [e.valid_loss for e in epochs], "-" + dot, color=BLUE, linewidth=2.2, label=valid)
    axes.plot(steps, [e.train_loss for e in epochs], "--" + dot, color=BLUE, linewidth=1.5, label=train)
    for e in epochs:
        if e.epoch == best.best_epoch:
            axes.plot(e.epoch, e.valid_loss, "*", **STAR, label=f"best epoch ({e.epoch})")


def _window(values: Values, reach: float = 1.5) -> tuple[float, float]:
    """From the least value to the greatest that is within `reach` interquartile ranges above the upper quartile."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    lower, upper = np.quantile(values, [0.25, 0.75])
    return float(values.min()), float(values[values <= upper + reach * (upper - lower)].max())


def _loss_range(axes: Axes, losses: Values) -> None:
    low, high = _window(losses)
    margin = 0.06 * (high - low) or 0.05
    axes.set_ylim(low - margin, high + margin)
    if low - margin < NO_OPINION < high + margin:
        axes.axhline(NO_OPINION, color="black", linewidth=1, linestyle=":", label="no opinion (ln 2)")


def _panel(axes: Axes, name: str, trials: Sequence[Trial], best: Trial | None) -> None:
    values = [trial.params[name] for trial in trials]
    x = _number_axis(axes, values) if all(map(_is_number, values)) else _category_axis(axes, values)
    losses, top = np.array([trial.valid_loss for trial in trials], float), axes.get_ylim()[1]
    axes.plot(x, losses, "o", color=BLUE, markersize=4.5, alpha=0.6, markeredgewidth=0)
    if (losses > top).any():  # unclipped and empty, it would collapse the layout
        axes.plot(x[losses > top], np.full_like(x[losses > top], top), "^", color=GREY, markersize=7, clip_on=False)
    stars = [trial is best for trial in trials]
    axes.plot(x[stars], losses[stars], "*", **STAR)
    axes.set_xlabel(_plain(name))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _number_axis(axes: Axes, values: Sequence[float | int]) -> Values:
    x = np.array(values, float)
    axes.tick_params("x", labelsize=8.5)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    if x.min() > 0 and x.max() > 20 * x.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if x.max() < 60 * x.min() else (1,)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    return x


def _category_axis(axes: Axes, values: Sequence[Any]) -> Values:
    names = [_category(value) for value in values]
    common = sorted(name for name, _ in Counter(names).most_common(MAX_CATEGORIES))
    rest = len(set(names)) - len(common)
    labels = [_plain(name, 18) for name in common] + [f"{rest} others"] * bool(rest)
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    return np.array([common.index(name) if name in common else len(common) for name in names], float)


def _category(value: Any) -> str:
    if isinstance(value, list) and all(map(_is_number, value)):
        return "-".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _plain(name: str, length: int = 24) -> str:
    """The name as it is drawn: one line, its middle cut to make it `length` long, with no TeX in it."""
    line = " ".join(name.encode("utf-8", "replace").decode().split())
    if len(line) > length:
        line = line[: length // 2] + "…" + line[len(line) - (length - 1) // 2 :]
    return line.replace("$", r"\$")
