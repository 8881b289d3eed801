r"""Fitting anchors: a Bradley-Terry offset per system on top of a head's margins (spec.md section 4).

With $y_i = 1$ where a was preferred and $m_i = s(a_i) - s(b_i)$, the logit of battle $i$ is

$$ z_i = \alpha m_i - \beta_{a_i} + \beta_{b_i}, \qquad
   J(\beta, \alpha) = \sum_i \log(1 + e^{z_i}) - y_i z_i + \lambda \lVert\beta\rVert^2 + \mu (\alpha - 1)^2 . $$

The published method has $\alpha = 1$ and $\lambda = 1$. $J$ is strictly convex, so its minimum does not depend on who
looks for it; Newton's method with halved steps finds it to rounding. A pair of a system with itself moves no offset.
Read as a posterior, the offsets have the priors $N(0, 1/2\lambda)$ and $N(1, 1/2\mu)$, and the inverse of the Hessian
at the minimum is their covariance (Laplace).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize_scalar
from scipy.special import expit

from tunejury_jax.calibration.battles import Battles

__all__ = ["Fitted", "Prior", "fit_offsets", "fit_prior"]

MAX_STEPS = 100
TOLERANCE = 1e-15
"""Of the decrease that a step promises, relative to the objective: below it only rounding is left."""

L2_RANGE = (1e-3, 1e3)


class Prior(NamedTuple):
    """How strongly the parameters are held.

    Attributes:
        l2: Of the offsets, towards 0; above 0.
        scale_l2: Of the scale, towards 1; above 0, or None to keep the scale at 1.
    """

    l2: float = 1.0
    scale_l2: float | None = None


class Fitted(NamedTuple):
    """The minimum of J.

    Attributes:
        beta: Offset of each system, in logits; 0 of a pinned one.
        scale: Alpha.
        covariance: Of the offsets and, last, the scale; zeros for what was held.
        objective: J.
        log_evidence: Of the battles under the prior (Laplace), in nats.
    """

    beta: Float64[np.ndarray, " systems"]
    scale: float
    covariance: Float64[np.ndarray, "parameters parameters"]
    objective: float
    log_evidence: float


def fit_offsets(battles: Battles, prior: Prior | None = None, pinned: int | None = None) -> Fitted:
    """Minimises J.

    Args:
        battles: Any number, also none.
        prior: By default the published one.
        pinned: Code of the system whose offset is 0; None for none.

    Raises:
        ValueError: A strength of the prior is not above 0, or the minimum was not reached.
    """
    prior = prior or Prior()
    _check(prior)
    free = np.ones(len(battles.systems) + 1, bool)
    free[-1] = prior.scale_l2 is not None
    if pinned is not None:
        free[pinned] = False
    theta = _minimum(battles, prior, free)
    return _fitted(battles, prior, free, theta)


def fit_prior(battles: Battles, prior: Prior | None = None) -> Prior:
    r"""Chooses how strongly the offsets are held, a hierarchy over the systems.

        maximum of  log evidence - (log l2 - log l2_0)^2 / 2

    Few battles cannot tell how much systems differ, and the evidence alone then runs off to either end: with the second
    term, a log-normal of deviation 1 around the given prior's strength, they leave it where it was.

    Args:
        battles: Any number, also none.
        prior: Where l2 starts from; the scale's part stays.
    """
    prior = prior or Prior()

    def loss(log_l2: float) -> float:
        log_evidence = fit_offsets(battles, prior._replace(l2=float(np.exp(log_l2)))).log_evidence
        return (log_l2 - np.log(prior.l2)) ** 2 / 2 - log_evidence

    found = minimize_scalar(loss, bounds=tuple(np.log(L2_RANGE)), method="bounded", options={"xatol": 1e-3})
    return prior._replace(l2=float(np.exp(found.x)))


def _check(prior: Prior) -> None:
    for field, value in prior._asdict().items():
        if value is not None and not 0 < value < np.inf:
            raise ValueError(f"{field}: got {value}, accepted are finite numbers above 0")


Theta = Float64[np.ndarray, " parameters"]
Matrix = Float64[np.ndarray, "parameters parameters"]


def _minimum(battles: Battles, prior: Prior, free: Bool[np.ndarray, " parameters"]) -> Theta:
    theta = np.append(np.zeros(len(battles.systems)), 1.0)
    objective = _objective(battles, prior, theta)
    for _ in range(MAX_STEPS):
        gradient, hessian = _derivatives(battles, prior, theta)
        step = np.zeros_like(theta)
        step[free] = cho_solve(cho_factor(hessian[np.ix_(free, free)]), gradient[free]) if free.any() else 0
        if step @ gradient <= TOLERANCE * (1 + abs(objective)):
            return theta - step
        theta, objective = _descend(battles, prior, theta, step, objective)
    raise ValueError(f"battles: no minimum in {MAX_STEPS} Newton steps, the objective is {objective}")


def _descend(battles: Battles, prior: Prior, theta: Theta, step: Theta, objective: float) -> tuple[Theta, float]:
    """The first of the step, its half, its quarter, ... that goes down."""
    for halvings in range(60):
        trial = theta - step / 2**halvings
        if (lower := _objective(battles, prior, trial)) < objective:
            return trial, lower
    return theta - step, _objective(battles, prior, theta - step)  # so near the minimum that rounding decides


def _logits(battles: Battles, theta: Theta) -> Float64[np.ndarray, " battles"]:
    return theta[-1] * battles.margin - theta[battles.system_a] + theta[battles.system_b]


def _objective(battles: Battles, prior: Prior, theta: Theta) -> float:
    z = _logits(battles, theta)
    penalty = prior.l2 * np.square(theta[:-1]).sum() + (prior.scale_l2 or 0) * (theta[-1] - 1) ** 2
    return float((np.logaddexp(0, z) - battles.a_won * z).sum() + penalty)


def _derivatives(battles: Battles, prior: Prior, theta: Theta) -> tuple[Theta, Matrix]:
    """Gradient and Hessian of J, summed battle by battle into the systems: no matrix has a row a battle."""
    systems = len(battles.systems)
    probability = expit(_logits(battles, theta))
    weight = probability * (1 - probability)
    gradient = _by_system(battles, probability - battles.a_won)
    hessian = np.zeros((systems + 1, systems + 1))
    cells = np.bincount(battles.system_a * systems + battles.system_b, weight, systems**2).reshape(systems, systems)
    between = cells + cells.T
    np.fill_diagonal(between, 0)
    hessian[:systems, :systems] = np.diag(between.sum(0) + 2 * prior.l2) - between
    hessian[-1, :systems] = hessian[:systems, -1] = _by_system(battles, weight * battles.margin)
    hessian[-1, -1] = weight @ np.square(battles.margin) + 2 * (prior.scale_l2 or 0)
    slope = (probability - battles.a_won) @ battles.margin + 2 * (prior.scale_l2 or 0) * (theta[-1] - 1)
    return np.append(gradient + 2 * prior.l2 * theta[:-1], slope), hessian


def _by_system(battles: Battles, values: Float64[np.ndarray, " battles"]) -> Float64[np.ndarray, " systems"]:
    """d z / d beta, transposed, times the values."""
    systems = len(battles.systems)
    sums = np.bincount(battles.system_b, values, systems) - np.bincount(battles.system_a, values, systems)
    return sums.astype(np.float64)  # of no battles, NumPy's are integers


def _fitted(battles: Battles, prior: Prior, free: Bool[np.ndarray, " parameters"], theta: Theta) -> Fitted:
    _, hessian = _derivatives(battles, prior, theta)
    inner = hessian[np.ix_(free, free)]
    covariance = np.zeros_like(hessian)
    covariance[np.ix_(free, free)] = np.linalg.inv(inner)
    strengths = np.append(np.full(len(battles.systems), prior.l2), prior.scale_l2 or 1.0)[free]
    objective = _objective(battles, prior, theta)
    evidence = (np.log(2 * strengths).sum() - np.linalg.slogdet(inner)[1]) / 2 - objective
    return Fitted(theta[:-1], float(theta[-1]), covariance, objective, float(evidence))
