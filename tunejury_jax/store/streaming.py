"""From a store into the memory of a device, without a second copy of the features on the host.

Slabs are read, verified and written into one donated matrix on the device. Besides that matrix the process holds
two slabs and what moves one of them, however large the store is.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from tunejury_jax.store.feature_store import FeatureStore

__all__ = ["stream_to_device"]


def stream_to_device(
    store: FeatureStore, encoder: str, *, dtype: str = "float32", extra_rows: int = 0
) -> tuple[Float[Array, "rows dim"], Bool[np.ndarray, " rows"]]:
    """Loads the rows of an encoder onto the default device.

    Args:
        store: A store with all blocks of the encoder committed.
        encoder: Name of the array.
        dtype: Of the matrix on the device.
        extra_rows: Rows of zeros after the last.

    Returns:
        The matrix, zeros where a row has no embedding, and which rows are embeddings or extra.

    Raises:
        StoreError: As `FeatureStore.slabs`.
    """
    rows = store.plan.rows(encoder)
    matrix = jnp.zeros((rows + extra_rows, store.plan.encoders[encoder].block.dim), dtype)
    ok = np.ones(rows + extra_rows, bool)
    for low, piece in store.slabs(encoder):
        ok[low : low + len(piece.ok)] = piece.ok
        # Waited for: otherwise slabs would queue up behind a slow device.
        matrix = _insert(matrix, *piece, np.int32(low)).block_until_ready()
    return matrix, ok


@functools.partial(jax.jit, donate_argnums=0)
def _insert(
    matrix: Float[Array, "all dim"], values: Float[Array, "rows dim"], ok: Bool[Array, " rows"], low: Int[Array, ""]
) -> Float[Array, "all dim"]:
    rows = jnp.where(ok[:, None], values, jnp.zeros((), values.dtype)).astype(matrix.dtype)
    return jax.lax.dynamic_update_slice(matrix, rows, (low, jnp.zeros_like(low)))
