"""Battles drawn from the calibrated model, and its objective written out battle by battle."""

import numpy as np
from scipy.special import expit

from tunejury_jax.calibration.battles import Battles
from tunejury_jax.calibration.fit import Prior


def drawn(battles: int, systems: int = 5, seed: int = 0, scale: float = 1.0, spread: float = 1.0) -> Battles:
    """Battles whose winner is drawn from the model itself."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(systems, size=(2, battles))
    margin, beta = rng.normal(0, 1.5, battles), rng.normal(0, spread, systems)
    won = rng.random(battles) < expit(scale * margin - beta[a] + beta[b])
    return Battles(tuple(map(str, range(battles))), tuple(f"s{i}" for i in range(systems)), a, b, margin, won)


def objective(theta: np.ndarray, battles: Battles, prior: Prior) -> float:
    """J, written out battle by battle with a design matrix."""
    design = np.zeros((len(battles.margin), len(battles.systems)))
    for row, (a, b) in enumerate(zip(battles.system_a, battles.system_b, strict=True)):
        design[row, a] -= 1
        design[row, b] += 1
    z = theta[-1] * battles.margin + design @ theta[:-1]
    penalty = prior.l2 * (theta[:-1] ** 2).sum() + (prior.scale_l2 or 0.0) * (theta[-1] - 1) ** 2
    return float(np.sum(-np.log(expit(np.where(battles.a_won, z, -z)))) + penalty)
