"""The engine's own steps on given weights and batches, for checks against another implementation.

Nothing is recomputed here: the steps are those of `trainers.population`, short batches padded and masked as the last
step of an epoch is, in the type of the caller's arrays.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from trainers.population import Hyper, seed_key, start_member, train_step
from trainers.recipe import TrainConfig
from trainers.view import View
from tunejury_jax.head import Head
from tunejury_jax.state_dict import from_state_dict, infer_config, to_state_dict

__all__ = ["run_steps"]

NOTHING = View(*(jnp.zeros(0, bool) for _ in View._fields))
"""The batches are given, so nothing is looked up."""

# Sizes differ from batch to batch, so the axis has no name.
Batch = tuple[Float[np.ndarray, "_ dim"], Float[np.ndarray, "_ dim"], Float[np.ndarray, " _"]]


def run_steps(
    state_dict: Mapping[str, np.ndarray], batches: Sequence[Batch], lr: float, weight_decay: float
) -> dict[str, Any]:
    """Runs one AdamW step a batch, without dropout or label smoothing.

    Args:
        state_dict: Arrays of a head under the published names (`net.0.weight`, `net.1.running_var`, ...), of any
            widths, float32 or float64.
        batches: Features of side a, features of side b, and P(a preferred), in the type of the weights.
        lr: Step size.
        weight_decay: Decoupled weight decay, on all parameters.

    Returns:
        `{"state_dict": arrays after the last step, "losses": mean loss of each batch before its step}`.

    Raises:
        ValueError: The arrays are not those of a head, or there is no batch of at least two pairs.
    """
    if not batches or min(len(target) for _, _, target in batches) < 2:
        raise ValueError(f"batches: got sizes {[len(b[2]) for b in batches]}, expected one or more of at least 2 pairs")
    config = infer_config(state_dict)
    with jax.enable_x64(batches[0][0].dtype == np.float64):
        recipe = TrainConfig(learning_rate=lr, weight_decay=weight_decay, dropout=0.0, widths=config.widths)
        hyper = Hyper.of(recipe, NOTHING)
        member = start_member(from_state_dict(state_dict, config), hyper)
        step = jax.jit(train_step, static_argnums=0)
        size, losses = max(len(target) for _, _, target in batches), []
        key = seed_key(hyper)  # asked for, though nothing is dropped
        for batch in batches:
            member, loss = step(Head(config.widths), member, hyper, _padded(batch, size), key)
            losses.append(float(loss))
        return {"state_dict": to_state_dict(member._asdict()), "losses": losses}


def _padded(batch: Batch, size: int) -> tuple[Float[Array, "2 size dim"], Float[Array, " size"], Float[Array, " size"]]:
    x_a, x_b, target = batch
    rows = size - len(target)
    x = np.pad(np.stack([x_a, x_b]), ((0, 0), (0, rows), (0, 0)))
    weight = np.pad(np.ones_like(target), (0, rows))
    return jnp.asarray(x), jnp.asarray(np.pad(target, (0, rows))), jnp.asarray(weight)
