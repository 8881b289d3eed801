r"""The Frechet distance of Gaussians, which is the squared 2-Wasserstein distance between them.

    d(p, q) = |m_p - m_q|^2 + tr(S_p + S_q - 2 (S_p^{1/2} S_q S_p^{1/2})^{1/2})

A covariance is held as a *root* A with A^T A = S. The eigenvalues under the last square root are then the squared
singular values of A_p A_q^T, whichever roots are taken, so its trace is the sum of these singular values: no matrix
root, no complex numbers, and nothing is added to the diagonal of singular covariances. With n < dim clips the root is
n x dim.

Source: Dowson and Landau, Journal of Multivariate Analysis 12, 1982; Kilgour et al., Frechet Audio Distance, 2019.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from tunejury_jax.errors import one_of
from tunejury_jax.generation_metrics.checks import Rows, checked, checked_pair

__all__ = ["SHRINKAGES", "Gaussian", "Shrinkage", "frechet_distance"]

Shrinkage = Literal["none", "ledoit-wolf"]
SHRINKAGES: tuple[Shrinkage, ...] = ("none", "ledoit-wolf")

SYMMETRY, NEGATIVE = 1e-8, 1e-8
"""Of a covariance's largest number: what rounding may have done to it."""


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution.

    Attributes:
        mean: Its mean.
        root: A with A^T A the covariance.
    """

    mean: Float[np.ndarray, " dim"]
    root: Float[np.ndarray, "rank dim"]

    @classmethod
    def of(cls, x: Float[np.ndarray, "..."], shrinkage: Shrinkage = "none") -> "Gaussian":
        r"""Mean and covariance of clips.

            S = \sum_i (x_i - m) (x_i - m)^T / (n - 1),   shrunk: (1 - a) S + a (tr S / dim) I

        Args:
            x: Embeddings, (clips, dim).
            shrinkage: `ledoit-wolf` takes a as Ledoit and Wolf estimate it (Journal of Multivariate Analysis 88, 2004):
                for fewer clips than a few times dim. Such distances compare with one another only at equal n.

        Raises:
            ValueError: Fewer than two clips, or a number is not finite.
        """
        rows = checked("x", x)
        mean = rows.mean(axis=0)
        root = np.linalg.qr(rows - mean, mode="r") / np.sqrt(len(rows) - 1)
        if one_of("shrinkage", shrinkage, SHRINKAGES) == "none":
            return cls(mean, root)
        return cls(mean, _shrunk(root, rows))

    @classmethod
    def of_moments(cls, mean: Float[np.ndarray, " dim"], covariance: Float[np.ndarray, "dim dim"]) -> "Gaussian":
        """A distribution that is known.

        Raises:
            ValueError: The covariance is not symmetric, or has a negative eigenvalue beyond rounding.
        """
        scale = np.abs(covariance).max()
        if not np.abs(covariance - covariance.T).max() <= SYMMETRY * scale:
            raise ValueError("covariance: expected a symmetric one")
        values, vectors = np.linalg.eigh(covariance.astype(np.float64))
        if values[0] < -NEGATIVE * scale:
            raise ValueError(f"covariance: expected no negative eigenvalue, got {values[0]:g}")
        return cls(mean.astype(np.float64), np.sqrt(values.clip(0))[:, None] * vectors.T)

    def distance(self, other: "Gaussian") -> float:
        """The Frechet distance, in squared units of the embedding; at least 0."""
        apart = np.square(self.mean - other.mean).sum()
        spread = np.square(self.root).sum() + np.square(other.root).sum()
        common = np.linalg.svd(self.root @ other.root.T, compute_uv=False).sum()
        return max(0.0, float(apart + spread - 2 * common))


def frechet_distance(
    x: Float[np.ndarray, "..."], reference: Float[np.ndarray, "..."], shrinkage: Shrinkage = "none"
) -> float:
    """The Frechet distance of the Gaussians of two sets of embeddings; symmetric. See `fad` for its interval.

    Args:
        x: Embeddings, (clips, dim).
        reference: Likewise, of the same dim.
        shrinkage: See `Gaussian.of`.

    Raises:
        ValueError: Fewer than two clips, different widths, or a number is not finite.
    """
    rows, against = checked_pair(x, reference)
    return Gaussian.of(rows, shrinkage).distance(Gaussian.of(against, shrinkage))


def _shrunk(root: Float[np.ndarray, "rank dim"], rows: Rows) -> Float[np.ndarray, "dim dim"]:
    """The symmetric root of the shrunk covariance."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    share = float(ledoit_wolf_shrinkage(rows))
    covariance = root.T @ root
    mean_variance = np.trace(covariance) / len(covariance)
    values, vectors = np.linalg.eigh(covariance)
    return np.sqrt((1 - share) * values.clip(0) + share * mean_variance)[:, None] * vectors.T
