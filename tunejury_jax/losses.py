"""The training loss of one pair; batches are `jax.vmap` of it."""

import jax
from jaxtyping import Array, Float

__all__ = ["pair_loss", "smooth"]


def pair_loss(margin: Float[Array, ""], target: Float[Array, ""]) -> Float[Array, ""]:
    """Bradley-Terry negative log-likelihood of one comparison.

    loss = -target * log sigmoid(margin) - (1 - target) * log sigmoid(-margin)

    Written with `log_sigmoid` of both signs because 1 - sigmoid(margin) loses everything above margin 17 in float32.

    Args:
        margin: s(A) - s(B), a logit.
        target: P(A preferred) in [0, 1]: 1 if A won, 0 if B won, 0.5 for a tie.

    Returns:
        The loss in nats, at least 0.

    Source: spec.md section 1.
    """
    return -target * jax.nn.log_sigmoid(margin) - (1.0 - target) * jax.nn.log_sigmoid(-margin)


def smooth(target: Float[Array, "*batch"], smoothing: Float[Array, ""]) -> Float[Array, "*batch"]:
    """Label smoothing: moves a target towards the tie, target * (1 - smoothing) + smoothing / 2."""
    return target * (1.0 - smoothing) + 0.5 * smoothing
