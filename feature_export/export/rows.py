"""The rows of one block while they are filled."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from tunejury_jax.store import EncoderSpec

__all__ = ["Rows"]


class Rows:
    """Values by encoder, and reasons of the rows that have none: a row is whole, or failed for all encoders.

    Attributes:
        values: By encoder, one row a row of the block.
        failed: Row of the table -> reason.
    """

    def __init__(self, rows: range, specs: Mapping[str, EncoderSpec]) -> None:
        """
        Args:
            rows: Of the table.
            specs: The encoders to fill.
        """
        self._first, self._specs = rows.start, specs
        self.values = {name: np.full((len(rows), spec.block.dim), np.nan, np.float32) for name, spec in specs.items()}
        self.failed: dict[int, str] = {}

    def put(self, row: int, features: Mapping[str, Float[np.ndarray, " _"]]) -> None:
        """Fills a row; fails it where a value is not finite in the type it is stored in."""
        with np.errstate(over="ignore"):
            lost = [n for n, spec in self._specs.items() if not np.isfinite(features[n].astype(spec.dtype)).all()]
        if lost:
            self.fail(row, f"{lost[0]}: the embedding is not finite as {self._specs[lost[0]].dtype}")
            return
        for name, values in self.values.items():
            values[row - self._first] = features[name]

    def fail(self, row: int, reason: str) -> None:
        """Records why a row has no embedding."""
        self.failed[row] = reason
