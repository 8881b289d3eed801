r"""Which of two clips is preferred, by their rewards: plainly, or corrected by the anchors of what made them.

$P(a \succ b) = \sigma(r(a) - r(b))$, or with anchors as `tunejury_jax.calibration.anchors` says.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.calibration.battles import Battles
from tunejury_jax.prediction import ClipPrediction

__all__ = ["Comparison", "compare"]


class Comparison(NamedTuple):
    """Two clips and which of them is preferred.

    Attributes:
        probability: That a is preferred.
        logit: Of the probability.
        a: What was predicted of clip a.
        b: What was predicted of clip b.
        std: Posterior standard deviation of the logit; None without anchors.
        unknown_systems: Of those named, the systems that the anchors do not have: they are not corrected.
    """

    probability: float
    logit: float
    a: ClipPrediction
    b: ClipPrediction
    std: float | None = None
    unknown_systems: tuple[str, ...] = ()


def compare(
    a: ClipPrediction,
    b: ClipPrediction,
    anchors: Anchors | None = None,
    system_a: str | None = None,
    system_b: str | None = None,
) -> Comparison:
    """Compares two clips.

    Args:
        a: Of one clip.
        b: Of the other.
        anchors: Offsets of systems; without them both clips are taken as they are.
        system_a: What made clip a; with anchors only, and then needed.
        system_b: What made clip b; likewise.

    Raises:
        ValueError: A system is missing, or superfluous.
    """
    for field, system in (("system_a", system_a), ("system_b", system_b)):
        if (anchors is None) != (system is None):
            raise ValueError(f"{field}: got {system!r}; a system is named where there are anchors, and only there")
    margin = a.reward - b.reward
    if anchors is None or system_a is None or system_b is None:
        return Comparison(float(expit(margin)), margin, a, b)
    calibrated = anchors.calibrate(_battle(margin, system_a, system_b))
    unknown = tuple(sorted({system_a, system_b} - {*anchors.systems}))
    logit, probability, std = (float(values[0]) for values in calibrated[:3])
    return Comparison(probability, logit, a, b, std, unknown)


def _battle(margin: float, system_a: str, system_b: str) -> Battles:
    systems = tuple(sorted({system_a, system_b}))
    code_a, code_b = (np.array([systems.index(system)]) for system in (system_a, system_b))
    return Battles(("",), systems, code_a, code_b, np.array([margin]), np.array([False]))
