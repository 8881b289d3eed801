"""Float64 NumPy oracles of a head and of the loss of pairs, from the formulas of spec.md section 1.

A head is given by its arrays under their torch names, in torch's orientation.
"""

from collections.abc import Mapping

import numpy as np

__all__ = ["evaluate", "pair_loss", "train_forward"]

EPSILON = 1e-5

State = Mapping[str, np.ndarray]


def evaluate(state: State, x: np.ndarray) -> np.ndarray:
    """Scores of rows, with running statistics and no dropout."""
    x = x.astype(np.float64)
    for layer in range(_hidden(state)):
        x = _linear(state, 4 * layer, x)
        norm = f"net.{4 * layer + 1}"
        mean, var = _double(state, f"{norm}.running_mean"), _double(state, f"{norm}.running_var")
        x = np.maximum(_affine(state, norm, (x - mean) / np.sqrt(var + EPSILON)), 0)
    return _linear(state, 4 * _hidden(state), x)[:, 0]


def train_forward(state: State, sides: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Scores of `(sides, batch, dim)` while training, without dropout, and the running statistics afterwards.

    Each side has its own batch statistics; the running values follow side a, then side b, with the unbiased variance.
    """
    running = {k: _double(state, k) for k in state if "running" in k}
    scores = []
    for x in sides.astype(np.float64):
        for layer in range(_hidden(state)):
            x, norm = _linear(state, 4 * layer, x), f"net.{4 * layer + 1}"
            mean, var = x.mean(axis=0), x.var(axis=0)
            for name, value in (("running_mean", mean), ("running_var", x.var(axis=0, ddof=1))):
                running[f"{norm}.{name}"] = 0.9 * running[f"{norm}.{name}"] + 0.1 * value
            x = np.maximum(_affine(state, norm, (x - mean) / np.sqrt(var + EPSILON)), 0)
        scores.append(_linear(state, 4 * _hidden(state), x)[:, 0])
    return np.stack(scores), running


def pair_loss(margin: np.ndarray, target: np.ndarray) -> np.ndarray:
    """-y log sigmoid(m) - (1 - y) log sigmoid(-m), in nats."""
    margin, target = np.asarray(margin, np.float64), np.asarray(target, np.float64)
    return target * np.logaddexp(0, -margin) + (1 - target) * np.logaddexp(0, margin)


def _hidden(state: State) -> int:
    return sum(name.endswith("running_mean") for name in state)


def _double(state: State, name: str) -> np.ndarray:
    return state[name].astype(np.float64)


def _linear(state: State, place: int, x: np.ndarray) -> np.ndarray:
    return x @ _double(state, f"net.{place}.weight").T + _double(state, f"net.{place}.bias")


def _affine(state: State, norm: str, x: np.ndarray) -> np.ndarray:
    return x * _double(state, f"{norm}.weight") + _double(state, f"{norm}.bias")
