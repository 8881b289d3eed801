r"""MAUVE: the area under the curve of two divergences between histograms p and q.

    r(l) = l p + (1 - l) q,   curve = (exp(-c KL(q || r)), exp(-c KL(p || r))),   c = 5

with 25 mixture weights l evenly from 1e-6 to 1 - 1e-6, the ends (1, 0) and (0, 1), and trapezoids. 1 for equal
histograms. For ones that share no bucket the divergences are -ln (1 - l) and -ln l, whose exact area is
5 B(6, 5) = 1/252.

Source: Pillutla et al., MAUVE, NeurIPS 2021; the constants are those of the package mauve-text, which sorts the points
by their rounded coordinates: that gives 0.75 for some equal histograms, and is not done here.
"""

import numpy as np
from jaxtyping import Float

__all__ = ["SCALE", "divergence_curve", "mauve"]

SCALE = 5.0
WEIGHTS = np.linspace(1e-6, 1 - 1e-6, 25)

Histograms = Float[np.ndarray, "*sets buckets"]


def mauve(p: Histograms, q: Histograms) -> Float[np.ndarray, "*sets"]:
    """MAUVE of histograms, between 0 and 1.

    Args:
        p: Shares of the buckets, which sum to 1; any number of histograms.
        q: Likewise, as many.
    """
    curve = divergence_curve(p, q)
    x, y = curve[..., 0], curve[..., 1]
    # Over x alone: trapezoids over y have the same sum.
    return np.asarray(np.abs(np.trapezoid(y, x, axis=-1)))


def divergence_curve(p: Histograms, q: Histograms) -> Float[np.ndarray, "*sets points 2"]:
    """The points of the curve, by rising mixture weight, the ends included."""
    p, q = p[..., None, :], q[..., None, :]
    mixed = WEIGHTS[:, None] * p + (1 - WEIGHTS[:, None]) * q
    points = np.exp(-SCALE * np.stack([_kl(q, mixed), _kl(p, mixed)], axis=-1))
    ends = np.broadcast_to([[1.0, 0.0]], (*points.shape[:-2], 1, 2))
    return np.concatenate([ends, points, ends[..., ::-1]], axis=-2)


def _kl(
    p: Float[np.ndarray, "*sets one buckets"], mixed: Float[np.ndarray, "*sets weights buckets"]
) -> Float[np.ndarray, "*sets weights"]:
    """The divergence from a mixture, which holds whatever p holds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = p * np.log(p / mixed)
    return np.where(p > 0, terms, 0.0).sum(axis=-1)
