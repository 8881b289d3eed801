r"""Temperature scaling: one number that makes a head's probabilities as sure as its margins deserve.

$P(a \succ b) = \sigma(m / T)$. With $k = 1/T$ the log loss

$$ J(k) = \frac{1}{n} \sum_i y_i \ln(1 + e^{-k m_i}) + (1 - y_i) \ln(1 + e^{k m_i}) $$

is convex, and its minimum is where its slope is 0. A temperature changes no order and so no accuracy. Guo et al., On
Calibration of Modern Neural Networks, ICML 2017.

>>> right_of_four = np.array([1.0, 1.0, 1.0, 0.0])
>>> round(fit_temperature(np.full(4, 2.0), right_of_four).value, 6)  # 2 / ln 3
1.820478
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import root_scalar
from scipy.special import expit, ndtri

from tunejury_jax.metrics import log_loss

__all__ = ["NoTemperatureError", "Temperature", "fit_temperature"]

Pairs = Float[np.ndarray, " pairs"]


class NoTemperatureError(ValueError):
    """The log loss of some pairs has no minimum at a positive, finite temperature."""


class Temperature(NamedTuple):
    """What margins are divided by.

    Attributes:
        value: Above 1 where the head is too sure.
        low: Of the profile-likelihood interval.
        high: Likewise; infinite where the pairs do not tell the head from guessing.
        n: Pairs it was fitted to.
    """

    value: float
    low: float
    high: float
    n: int


def fit_temperature(margins: Pairs, targets: Pairs, level: float = 0.95) -> Temperature:
    """The temperature of least log loss, and the temperatures that the pairs do not rule out.

        { T : 2 n (J(1/T) - min J) <= z^2 },   z = quantile of (1 + level)/2

    Args:
        margins: s(A) - s(B), in reward units.
        targets: P(A preferred): 1, 0.5 or 0; ties count half, as in training.
        level: Share of intervals that hold the true value, for independent pairs.

    Raises:
        NoTemperatureError: All margins are 0, the head is no better than guessing, or it is wrong on none.
        ValueError: As `metrics.log_loss`.
    """
    log_loss(margins, targets)  # which checks them
    scale = float(np.abs(margins).mean())
    if scale == 0:
        raise NoTemperatureError("all margins are 0")
    unit, targets = np.asarray(margins, np.float64) / scale, np.asarray(targets, np.float64)

    def slope(k: float) -> float:
        return float(np.mean((expit(k * unit) - targets) * unit))

    _require_minimum(unit, targets, slope(0.0))
    best = _root(slope, 0.0, _above(slope, 1.0))
    allowed = log_loss(best * unit, targets) + ndtri((1 + level) / 2) ** 2 / (2 * len(unit))

    def beyond(k: float) -> float:
        return log_loss(k * unit, targets) - allowed

    high = scale / _root(beyond, 0.0, best) if beyond(0.0) > 0 else np.inf
    return Temperature(scale / best, scale / _root(beyond, best, _above(beyond, best)), high, len(unit))


def _require_minimum(unit: Pairs, targets: Pairs, slope_at_0: float) -> None:
    """The slope rises with k: it must begin below 0 and end above."""
    if slope_at_0 >= 0:
        raise NoTemperatureError("the head is no better than guessing, so the higher the temperature the better")
    if np.mean((np.heaviside(unit, 0.5) - targets) * unit) <= 0:
        raise NoTemperatureError("the head is wrong on no pair, so the lower the temperature the better")


def _above(rising: Callable[[float], float], k: float) -> float:
    """A number, at least k, where the function is above 0."""
    while rising(k) <= 0:
        k *= 2
    return k


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(root_scalar(function, bracket=(low, high), method="brentq").root)
