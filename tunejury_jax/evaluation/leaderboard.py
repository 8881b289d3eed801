r"""Music Arena's leaderboard: a penalised Bradley-Terry rating of systems.

With $w_{ij}$ the points of i against j (a win 1, a tie 1/2), the ratings minimise

$$ \sum_{i \ne j} w_{ij} \log(1 + e^{\theta_j - \theta_i}) + \tfrac12 \lVert\theta\rVert^2 , $$

which is logistic regression with C = 1 (github.com/gclef-cmu/music-arena, read for facts), and are shown as
$1000 + (400 / \ln 10) (\theta - \bar\theta)$. Battles of a system with itself say nothing. Where side a won every
battle Music Arena gives all systems 1000; here they are rated all the same.
"""

import numpy as np
from jaxtyping import Float, Float64
from scipy.special import expit

from tunejury_jax.evaluation.votes import Votes

__all__ = ["points_matrix", "rate"]

CENTRE, SCALE = 1000.0, 400 / np.log(10)
MAX_STEPS, TOLERANCE = 100, 1e-18

Matrix = Float[np.ndarray, "systems systems"]


def points_matrix(votes: Votes) -> Float64[np.ndarray, "systems systems"]:
    """Points of each system (row) against each (column)."""
    count = len(votes.systems)
    forward = np.bincount(votes.a * count + votes.b, votes.points, count * count).reshape(count, count)
    backward = np.bincount(votes.b * count + votes.a, 1 - votes.points, count * count).reshape(count, count)
    points = forward + backward
    np.fill_diagonal(points, 0)
    return points


def rate(points: Matrix) -> Float64[np.ndarray, " systems"]:
    """The ratings; 1000 is their mean, and 400 more are ten times the odds.

    Args:
        points: See `points_matrix`.

    Raises:
        ValueError: Newton's method did not converge.
    """
    theta = np.zeros(len(points))
    for _ in range(MAX_STEPS):
        step, decrease = _newton_step(points, theta)
        theta = theta + step
        if decrease <= TOLERANCE * (1 + points.sum()):
            return CENTRE + SCALE * (theta - theta.mean())
    raise ValueError(f"points: no ratings after {MAX_STEPS} steps of Newton's method")


def _newton_step(points: Matrix, theta: Float[np.ndarray, " systems"]) -> tuple[np.ndarray, float]:
    """The step, and twice the decrease that it promises."""
    battles = points + points.T
    p = expit(theta[:, None] - theta)
    slope = (points - battles * p).sum(1) - theta
    weights = battles * p * (1 - p)
    step = np.linalg.solve(np.diag(weights.sum(1) + 1) - weights, slope)
    return step, float(step @ slope)
