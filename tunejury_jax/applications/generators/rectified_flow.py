r"""Rectified flow: samplers that carry gradients back to the noise, and the loss that such a network learns from.

Times run from 1, all noise, to 0, all data. With data $x$ and standard normal noise $\epsilon$

$$ z_t = (1 - t)\, x + t\, \epsilon, \qquad \frac{d z_t}{d t} = \epsilon - x, $$

and a network learns this velocity, $v(z_t, t) \approx \epsilon - x$. TangoFlux and Stable Audio Open small agree on all
of it: the signs, the direction of time, and the time as it is given to the network.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = ["Condition", "Velocity", "checkpointed", "euler", "flow_matching_loss", "guided", "pingpong"]

Latents = Float[Tensor, "batch *latent"]
Times = Float[Tensor, " batch"]
Condition = tuple[Tensor, ...]
"""What a network is told besides latents and times, such as prompts; the first axis of each is the batch."""

Velocity = Callable[[Latents, Times], Latents]


def checkpointed(run: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same function, keeping only its arguments for the backward pass, in which it is computed again.

    Args:
        run: Without randomness: the state of random generators is not restored.
    """
    return partial(checkpoint, run, use_reentrant=False, preserve_rng_state=False)


def guided(velocity: Callable[..., Latents], prompted: Condition, unprompted: Condition, guidance: float) -> Velocity:
    r"""Classifier-free guidance: $v_u + g\,(v_p - v_u)$, both in one call of twice the batch.

    Args:
        velocity: Of latents, times and the tensors of a condition.
        prompted: The condition that is wanted.
        unprompted: The one to lead away from, of the same shapes.
        guidance: $g$; with 1 the second is never computed.
    """
    if guidance == 1:
        return lambda latents, times: velocity(latents, times, *prompted)
    both = [torch.cat(pair) for pair in zip(prompted, unprompted, strict=True)]

    def combined(latents: Latents, times: Times) -> Latents:
        wanted, other = velocity(torch.cat([latents, latents]), torch.cat([times, times]), *both).chunk(2)
        return other + guidance * (wanted - other)

    return combined


def euler(velocity: Velocity, noise: Latents, times: Float[Tensor, " steps_and_1"]) -> Latents:
    r"""Follows the flow in straight steps: $z \leftarrow z + (t' - t)\, v(z, t)$.

    Args:
        velocity: Of the flow.
        noise: Where it starts.
        times: Falling, from 1 to 0.
    """
    latents = noise
    for now, then in pairwise(times):
        latents = latents + (then - now) * velocity(latents, now.expand(len(latents)))
    return latents


def pingpong(
    velocity: Velocity, noises: Float[Tensor, "batch steps *latent"], times: Float[Tensor, " steps_and_1"]
) -> Latents:
    r"""Guesses the data and adds new noise, step by step: $z \leftarrow (1 - t')\,(z - t\, v(z, t)) + t'\, \epsilon'$.

    For networks distilled to guess well in few steps. All noise is an argument, so that the result is a function of it.

    Args:
        velocity: Of the flow.
        noises: Where it starts, and what is added after each step but the last.
        times: Falling, from 1 to 0.
    """

    def data(latents: Latents, now: Float[Tensor, ""]) -> Latents:
        return latents - now * velocity(latents, now.expand(len(latents)))

    latents, *added = noises.unbind(1)
    for now, then, noise in zip(times[:-2], times[1:-1], added, strict=True):
        latents = (1 - then) * data(latents, now) + then * noise
    return data(latents, times[-2])


def flow_matching_loss(velocity: Velocity, data: Latents, noise: Latents, times: Times) -> Float[Tensor, ""]:
    r"""Mean of $\left(v((1 - t)\, x + t\, \epsilon,\; t) - (\epsilon - x)\right)^2$.

    Args:
        velocity: Of the network that learns.
        data: $x$.
        noise: $\epsilon$, standard normal.
        times: $t$, one an example.
    """
    t = times.reshape(-1, *(1 for _ in data.shape[1:]))
    error = velocity((1 - t) * data + t * noise, times) - (noise - data)
    return error.square().mean()
