r"""Which battles to have labelled next: those that are expected to tell most about the offsets.

With the posterior of the labels so far, battle $x$ with probability $p$ is expected to narrow it by about
$\frac12 \log(1 + p (1 - p)\, x^T \Sigma x)$ nats (the gain of a Laplace posterior). The best is taken, its label is
asked for, the posterior is renewed, and so on; no label is seen before its battle was chosen.
"""

import numpy as np
from jaxtyping import Float64, Int

from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.calibration.battles import Battles
from tunejury_jax.calibration.fit import Prior

__all__ = ["choose", "expected_information"]


def expected_information(anchors: Anchors, battles: Battles) -> Float64[np.ndarray, " battles"]:
    """The gain of each battle's label, in nats."""
    calibrated = anchors.calibrate(battles)
    return np.log1p(calibrated.probability * (1 - calibrated.probability) * np.square(calibrated.std)) / 2


def choose(pool: Battles, count: int, prior: Prior) -> Int[np.ndarray, " chosen"]:
    """Rows of the pool, in the order in which they would be labelled; of equals the first.

    Args:
        pool: Battles with their labels, each read only once it is chosen.
        count: How many, at most all.
        prior: Of the posterior that chooses.

    Raises:
        ValueError: There are not so many.
    """
    if not 0 <= count <= len(pool.ids):
        raise ValueError(f"count: got {count}, accepted are 0 to {len(pool.ids)}, the size of the pool")
    chosen: list[int] = []
    for _ in range(count):
        gain = expected_information(Anchors.fit(pool.take(chosen), prior), pool)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
    return np.array(chosen, int)
