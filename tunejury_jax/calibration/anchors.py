r"""Anchors: fitted offsets of systems, as a file, and what they make of a margin.

$P(a \succ b) = \sigma(z)$ with $z = \alpha (s(a) - s(b)) - \beta_{sys(a)} + \beta_{sys(b)}$. A system that was not
fitted has no correction, $\beta = 0$, and is reported. The deviation of $z$ is $\sqrt{x^T \Sigma x}$ with the posterior
covariance $\Sigma$ and $x = \partial z / \partial(\beta, \alpha)$; an unknown system adds its prior's variance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from scipy.special import expit

from tunejury_jax.calibration.battles import Battles
from tunejury_jax.calibration.fit import Fitted, Prior, fit_offsets
from tunejury_jax.documents import read_object, write_json

__all__ = ["Anchors", "Calibrated"]

FORMAT, VERSION = "tunejury-anchors", 1
MAX_BYTES = 64 << 20


class Calibrated(NamedTuple):
    """What anchors make of battles.

    Attributes:
        logit: z.
        probability: That a is preferred, sigmoid(z).
        std: Posterior standard deviation of z.
        known: Whether both systems were fitted.
    """

    logit: Float64[np.ndarray, " battles"]
    probability: Float64[np.ndarray, " battles"]
    std: Float64[np.ndarray, " battles"]
    known: Bool[np.ndarray, " battles"]


@dataclass(frozen=True, eq=False)
class Anchors:
    """Fitted offsets.

    Attributes:
        systems: Those with at least one battle against another system, and the pinned one.
        beta: Offset of each, in logits.
        scale: Alpha.
        covariance: Of the offsets and, last, the scale.
        prior: What they were fitted with.
        pinned: The system whose offset is 0.
        battles: How many they were fitted on.
        warnings: What a reader must know, for example that the pinned system had no battle.
    """

    systems: tuple[str, ...]
    beta: Float64[np.ndarray, " systems"]
    scale: float
    covariance: Float64[np.ndarray, "parameters parameters"]
    prior: Prior
    pinned: str | None
    battles: int
    warnings: tuple[str, ...] = ()

    @classmethod
    def fit(cls, battles: Battles, prior: Prior | None = None, pinned: str | None = None) -> "Anchors":
        """Fits the systems of some battles.

        Args:
            battles: Those of a calibration set.
            prior: By default the published one.
            pinned: Name of the system whose offset is 0. Where it has no battle, nothing is pinned, with a warning.

        Raises:
            ValueError: A strength of the prior is not above 0.
        """
        prior = prior or Prior()
        seen = _seen(battles)
        found = pinned in [battles.systems[code] for code in seen]
        fitted = fit_offsets(battles, prior, battles.systems.index(pinned) if found and pinned else None)
        missing = (f"{pinned!r} was to be pinned and has no battle: nothing is pinned",) if pinned and not found else ()
        return cls._of(fitted, battles, seen, prior, pinned if found else None, missing)

    @classmethod
    def _of(
        cls,
        fitted: Fitted,
        battles: Battles,
        seen: Sequence[int],
        prior: Prior,
        pinned: str | None,
        warnings: tuple[str, ...],
    ) -> "Anchors":
        kept = [*seen, len(battles.systems)]
        names = tuple(battles.systems[code] for code in seen)
        covariance = fitted.covariance[np.ix_(kept, kept)]
        return cls(names, fitted.beta[seen], fitted.scale, covariance, prior, pinned, len(battles.ids), warnings)

    def offset(self, system: str) -> float | None:
        """Beta of a system, or None of one that was not fitted."""
        return float(self.beta[self.systems.index(system)]) if system in self.systems else None

    def calibrate(self, battles: Battles) -> Calibrated:
        """Corrects the margins of battles between any systems."""
        places = {system: place for place, system in enumerate(self.systems)}
        lookup = np.array([places.get(system, -1) for system in battles.systems], int)
        beta = np.append(self.beta, 0.0)[lookup]
        z = self.scale * battles.margin - beta[battles.system_a] + beta[battles.system_b]
        known = (lookup[battles.system_a] >= 0) & (lookup[battles.system_b] >= 0)
        return Calibrated(z, expit(z), np.sqrt(self._variance(battles, lookup)), known)

    def _variance(self, battles: Battles, lookup: Any) -> Float64[np.ndarray, " battles"]:
        """x^T Sigma x, cell by cell of the covariance: x has at most three entries."""
        systems = len(self.systems)
        prior = 1 / (2 * self.prior.l2)
        grown = np.zeros((systems + 2, systems + 2))  # the last row is that of a system that was not fitted
        grown[:-1, :-1] = self.covariance
        order = [*range(systems), systems + 1, systems]
        sigma = grown[np.ix_(order, order)]
        a, b, scale, m = lookup[battles.system_a], lookup[battles.system_b], systems + 1, battles.margin
        a, b = np.where(a < 0, systems, a), np.where(b < 0, systems, b)
        own = sigma[a, a] + sigma[b, b] - 2 * sigma[a, b] + prior * ((a == systems) + 0.0 + (b == systems))
        own = np.where(battles.system_a == battles.system_b, 0.0, own)
        cross = np.where(battles.system_a == battles.system_b, 0.0, sigma[b, scale] - sigma[a, scale])
        return np.maximum(own + 2 * m * cross + np.square(m) * sigma[scale, scale], 0.0)

    def save(self, path: Path) -> None:
        """Writes the anchors as JSON."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "systems": {name: float(beta) for name, beta in zip(self.systems, self.beta, strict=True)},
            "scale": self.scale,
            "covariance": self.covariance.tolist(),
            "prior": self.prior._asdict(),
            "pinned": self.pinned,
            "battles": self.battles,
            "warnings": list(self.warnings),
        }
        write_json(path, document)

    @classmethod
    def load(cls, path: Path) -> "Anchors":
        """Reads what `save` wrote.

        Raises:
            ValueError: Not such a file, or a number in it is none or not finite.
        """
        document = read_object(path, MAX_BYTES)
        try:
            return _parsed(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path}: no anchors of {FORMAT} version {VERSION}: {error!r}") from error


def _seen(battles: Battles) -> list[int]:
    """Codes of the systems that met another one."""
    met = battles.system_a != battles.system_b
    return np.union1d(battles.system_a[met], battles.system_b[met]).astype(int).tolist()


def _parsed(document: Mapping[str, Any]) -> Anchors:
    if (document["format"], document["version"]) != (FORMAT, VERSION):
        raise ValueError(f"format {document['format']!r}, version {document['version']!r}")
    systems = tuple(document["systems"])
    numbers = np.array([*document["systems"].values(), document["scale"]], float)
    covariance = np.array(document["covariance"], float)
    if covariance.shape != (len(numbers), len(numbers)):
        raise ValueError(f"covariance of shape {covariance.shape}, expected {len(numbers)} rows and columns")
    if not (np.isfinite(numbers).all() and np.isfinite(covariance).all()):
        raise ValueError("numbers that are not finite")
    prior, pinned, told = Prior(**document["prior"]), document["pinned"], tuple(document["warnings"])
    return Anchors(systems, numbers[:-1], float(numbers[-1]), covariance, prior, pinned, document["battles"], told)
