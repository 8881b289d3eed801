"""A small network that is trained to predict ratings from features: what the decomposition probe asks of them.

dim - 512 - 512 - 1, ReLU, dropout 0.3 behind each hidden layer; Adam at 1e-3 with L2 1e-4 in the gradient; 300 epochs
of the whole training part; mean squared error. The epoch is the one with the least error on the validation part,
which is no part of what the network is judged on.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

__all__ = ["Network", "predict_ratings"]

HIDDEN, DROPOUT = 512, 0.3
LEARNING_RATE, L2 = 1e-3, 1e-4
EPOCHS = 300


class Network(nn.Module):
    """Features to a rating."""

    @nn.compact
    def __call__(self, x: Float[Array, "rows dim"], *, train: bool) -> Float[Array, " rows"]:
        for _ in range(2):
            x = nn.Dropout(DROPOUT, deterministic=not train)(nn.relu(nn.Dense(HIDDEN)(x)))
        return nn.Dense(1)(x)[:, 0]


def predict_ratings(
    train: tuple[Float[np.ndarray, "train dim"], Float[np.ndarray, " train"]],
    validation: tuple[Float[np.ndarray, "validation dim"], Float[np.ndarray, " validation"]],
    x: Float[np.ndarray, "test dim"],
    seed: int = 0,
) -> Float[np.ndarray, " test"]:
    """Trains on one part, chooses the epoch on another and predicts a third.

    Args:
        train: Features and ratings.
        validation: Likewise.
        x: Features to predict from.
        seed: Of the weights and the dropout.
    """
    fit, choose = (tuple(jnp.asarray(values, jnp.float32) for values in part) for part in (train, validation))
    params: Any = _trained(fit, choose, jax.random.key(seed), EPOCHS)
    return np.asarray(Network().apply(params, jnp.asarray(x, jnp.float32), train=False), np.float64)


@partial(jax.jit, static_argnums=3)
def _trained(fit: Any, choose: Any, key: Array, epochs: int) -> Any:
    """The parameters of the best epoch."""
    network = Network()
    # torch's Adam: the decay is part of the gradient, unlike AdamW's.
    optimiser = optax.chain(optax.add_decayed_weights(L2), optax.adam(LEARNING_RATE))
    weights_key, dropout_key = jax.random.split(key)
    params = network.init(weights_key, fit[0], train=False)

    def loss(params: Any, key: Array) -> Float[Array, ""]:
        found = network.apply(params, fit[0], train=True, rngs={"dropout": key})
        return jnp.square(found - fit[1]).mean()

    def epoch(state: Any, step: Array) -> tuple[Any, None]:
        before, moments, best, least = state
        slopes = jax.grad(loss)(before, jax.random.fold_in(dropout_key, step))
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float to its int32 step count
            updates, moments = optimiser.update(slopes, moments, before)
        params: Any = optax.apply_updates(before, updates)
        error = jnp.square(network.apply(params, choose[0], train=False) - choose[1]).mean()
        best = jax.tree.map(lambda new, old: jnp.where(error < least, new, old), params, best)
        return (params, moments, best, jnp.minimum(error, least)), None

    start = (params, optimiser.init(params), params, jnp.array(jnp.inf, jnp.float32))
    (_, _, best, _), _ = jax.lax.scan(epoch, start, jnp.arange(epochs))
    return best
