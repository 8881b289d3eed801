"""Axes of hyper-parameters: numbers where all values are numbers, else categories."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from trainers.reporting.axis_ends import Values
from tunejury_jax.figures.canvas import plain

__all__ = ["category", "logarithmic", "numeric", "value_axis"]

MAX_CATEGORIES = 6


def value_axis(axes: Axes, values: Sequence[Any]) -> Values:
    """Makes the x axis of a panel fit the values of a hyper-parameter, and returns where each of them is on it."""
    return _number_axis(axes, values) if numeric(values) else _category_axis(axes, values)


def numeric(values: Sequence[Any]) -> bool:
    """Whether all values are numbers that an axis can show."""
    return all(map(_is_number, values))


def logarithmic(values: Values) -> bool:
    """Whether the values are positive and span so much that a linear axis would crowd the small ones."""
    return bool(values.min() > 0 and values.max() > 20 * values.min())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _number_axis(axes: Axes, values: Sequence[float | int]) -> Values:
    x = np.array(values, float)
    axes.tick_params("x", labelsize=8.5)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    if logarithmic(x):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if x.max() < 60 * x.min() else (1,)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter("{x:g}")  # and no power of ten apart, far from the numbers it belongs to
    return x


def _category_axis(axes: Axes, values: Sequence[Any]) -> Values:
    names = [category(value) for value in values]
    common = sorted(name for name, _ in Counter(names).most_common(MAX_CATEGORIES))
    rest = len(set(names)) - len(common)
    labels = [plain(name, 18) for name in common] + [f"{rest} others"] * bool(rest)
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    return np.array([common.index(name) if name in common else len(common) for name in names], float)


def category(value: Any) -> str:
    """A value as the name of a category."""
    if isinstance(value, list) and all(map(_is_number, value)):
        return "-".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)
