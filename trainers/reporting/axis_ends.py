"""The ends of axes: one exploding curve must not flatten the others.

An axis of losses ends where `window` says, and the picture counts what lies beyond.
"""

import math

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

__all__ = ["Values", "loss_limits", "loss_range", "window"]

NO_OPINION = math.log(2)

Values = Float[np.ndarray, " values"]


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
