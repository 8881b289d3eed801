"""The pictures of how heads learn and how good the best one is, each a matplotlib `Figure` made from plain numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from trainers.reporting.axis_ends import loss_range, window
from trainers.reporting.run_reader import Epoch, Trial
from tunejury_jax.figures.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, STAR, finish, new_figure, note, plain
from tunejury_jax.metrics import Accuracy

__all__ = ["accuracy_by_source", "learning_curves", "margin_histogram"]

BASELINE_LINES = ((ORANGE, "--"), (GREEN, "-."), (PURPLE, (0, (5, 1, 1, 1, 1, 1))))


def learning_curves(epochs: Sequence[Epoch], best: Trial | None) -> Figure:
    """Loss over epochs: validation of every trial, thin; validation, training and best epoch of the best, thick.

    Args:
        epochs: Of all trials, by epoch within a trial.
        best: The trial to show in colour; None draws all alike.
    """
    figure = new_figure(4.4)
    axes = figure.subplots()
    shown = [e for e in epochs if best and e.trial == best.trial]
    _other_curves(axes, [e for e in epochs if not (best and e.trial == best.trial)])
    if best and shown:
        _best_curves(axes, shown, best)
    losses = np.array([e.valid_loss for e in epochs] + [e.train_loss for e in shown])
    loss_range(axes, losses)
    beyond = int((~(losses <= axes.get_ylim()[1])).sum())
    note(axes, f"{beyond} of {len(losses)} points lie above the range or are not finite" if beyond else "")
    axes.set(xlabel="epoch", ylabel="loss (nats per pair)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    return finish(figure, axes)


def accuracy_by_source(total: Accuracy, by_source: Mapping[str, Accuracy], baselines: Mapping[str, Accuracy]) -> Figure:
    """Accuracy with its 95 % interval, of all pairs and of each source, beside chance and the strongest baselines."""
    rows = {"all sources": total, **by_source}
    figure = new_figure(1.7 + 0.48 * len(rows))
    axes = figure.subplots()
    for y, result in enumerate(rows.values()):
        color, marker = (BLUE, "D") if y == 0 else ("black", "o")
        axes.plot([result.low, result.high], [y, y], color=color, linewidth=2, solid_capstyle="butt")
        axes.plot(result.value, y, marker, color=color, markersize=7)
    axes.axvline(0.5, color="black", linewidth=1, linestyle=":", label="chance (50%)")
    strongest = sorted(baselines, key=lambda name: -baselines[name].value)
    for name, (color, dashes) in zip(strongest, BASELINE_LINES, strict=False):
        label = f"{plain(name, 34)} ({baselines[name].value:.1%})"
        axes.axvline(baselines[name].value, color=color, linewidth=1.5, linestyle=dashes, label=label)
    labels = [f"{plain(name)}\n{r.value:.1%} of {r.n_decisive}" for name, r in rows.items()]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="accuracy (%) with 95% interval", ylabel="source")
    return finish(figure, axes)


def margin_histogram(margins: Float[np.ndarray, " pairs"], targets: Float[np.ndarray, " pairs"]) -> Figure:
    """How far the margins of decisive pairs point towards the preferred clip: right of 0 is correct."""
    figure = new_figure(3.8)
    axes = figure.subplots()
    towards = ((2 * targets - 1) * margins)[targets != 0.5]
    limit = window(np.abs(towards), reach=3.0)[1] or 1.0
    edges = np.linspace(-limit, limit, 41).tolist()
    right, wrong, undecided = towards[towards > 0], towards[towards < 0], int((towards == 0).sum())
    axes.hist(np.clip(right, 0, limit), edges, color=BLUE, label=f"correct ({len(right)})")
    axes.hist(np.clip(wrong, -limit, 0), edges[:21], color=ORANGE, hatch="///", label=f"incorrect ({len(wrong)})")
    axes.axvline(0, color="black", linewidth=1, label=f"undecided, margin 0 ({undecided})")
    beyond = int((np.abs(towards) > limit).sum())
    note(axes, f"{beyond} beyond the ends are counted in the outer bars" if beyond else "")
    axes.set(xlabel="margin towards the preferred clip (reward)", ylabel="decisive pairs")
    return finish(figure, axes)


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
