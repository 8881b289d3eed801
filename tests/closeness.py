"""One comparison for all tests: tolerance by type, and a message that says how far off."""

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["TOLERANCE", "assert_close"]

TOLERANCE = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-10}


def assert_close(found: ArrayLike, expected: ArrayLike, tolerance: float | None = None) -> None:
    """Fails unless |found - expected| <= tolerance * max(1, |expected|) everywhere.

    Args:
        found: Computed by the code under test; its type chooses the tolerance.
        expected: The oracle's answer.
        tolerance: Only where a test states a tighter one, or a documented accuracy.
    """
    a, b = np.asarray(found), np.asarray(expected)
    assert a.shape == b.shape, f"shapes differ: {a.shape} and {b.shape}"
    limit = TOLERANCE[a.dtype] if tolerance is None else tolerance
    error = np.abs(a.astype(np.float64) - b.astype(np.float64)) / np.maximum(1.0, np.abs(b))
    if a.size:
        assert error.max() <= limit, f"max {error.max():.3g}, mean {error.mean():.3g}, allowed {limit:.3g}"
