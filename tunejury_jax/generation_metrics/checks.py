"""Checks of embeddings where they enter a metric."""

import numpy as np
from jaxtyping import Float

__all__ = ["OtherRows", "Rows", "checked", "checked_pair", "directions"]

Rows = Float[np.ndarray, "clips dim"]
OtherRows = Float[np.ndarray, "others dim"]
"""Of as many numbers a clip, and another number of clips: the reference set's."""


def checked(field: str, rows: Float[np.ndarray, "..."]) -> Rows:
    """The embeddings in float64.

    Raises:
        ValueError: Not (clips, dim), fewer than two clips, or a number is not finite; names the field.
    """
    if rows.ndim != 2 or not rows.shape[1]:
        raise ValueError(f"{field}: expected embeddings of the shape (clips, dim), got {rows.shape}")
    if len(rows) < 2:
        raise ValueError(f"{field}: expected at least 2 clips, got {len(rows)}")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise ValueError(f"{field}[{bad[0]}]: not finite, nor are {len(bad) - 1} other clips of {len(rows)}")
    return rows.astype(np.float64)


def checked_pair(x: Float[np.ndarray, "..."], reference: Float[np.ndarray, "..."]) -> tuple[Rows, OtherRows]:
    """Clips and reference set in float64.

    Raises:
        ValueError: As `checked`, or their widths differ.
    """
    rows, against = checked("x", x), checked("reference", reference)
    if rows.shape[1] != against.shape[1]:
        raise ValueError(f"x, reference: expected one width, got {rows.shape[1]} and {against.shape[1]}")
    return rows, against


def directions(field: str, rows: Rows) -> Rows:
    """Rows of length 1.

    Raises:
        ValueError: A row is zero and has no direction; names the field.
    """
    lengths = np.linalg.norm(rows, axis=1)
    zero = np.flatnonzero(lengths == 0)
    if len(zero):
        raise ValueError(f"{field}[{zero[0]}]: all zeros, which have no direction, as {len(zero) - 1} other clips")
    return rows / lengths[:, None]
