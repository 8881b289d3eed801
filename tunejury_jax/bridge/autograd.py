"""A JAX reward as a differentiable torch function.

Arrays cross by DLPack: where JAX has the tensor's device and the memory is aligned to 64 bytes nothing is copied on the
way in. On the way out a copy is made, since writing in place to a tensor that shares JAX's memory would change an array
that JAX takes for constant.

A reward scores each row by itself, so the gradient of the sum of all scores holds the gradient of every score. One
compiled program returns scores and gradient together, and the backward pass is a product in torch that never enters
JAX.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import torch
from jax.tree_util import Partial
from jaxtyping import Array, Float
from torch import Tensor

from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.feature_scorer import require_conservative
from tunejury_jax.head import Head, Variables, evaluate_head
from tunejury_jax.prediction import member_scores

__all__ = ["TorchReward", "checkpoint_reward"]

JaxReward = Callable[[Float[Array, "batch dim"]], Float[Array, " batch"]]

COMPUTED = {torch.float32: torch.float32, torch.float64: torch.float64, torch.bfloat16: torch.float32}
"""Type of the input -> type of the computation and of the reward."""


class TorchReward:
    """A JAX reward that torch calls and differentiates; any number of threads may call it at once."""

    def __init__(self, reward: JaxReward) -> None:
        """Wraps a reward.

        Args:
            reward: Pure JAX, scores each row by itself, in the type of its input. Weights of a
                `jax.tree_util.Partial` are arguments of the compiled program; those of a closure are built into it.
        """
        self._reward = reward if isinstance(reward, Partial) else Partial(reward)

    # torch.compile cannot trace into JAX: it breaks the graph here and calls this as it stands.
    @torch.compiler.disable()
    def __call__(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Scores rows of features; differentiable once.

        Args:
            x: float32 or float64, which is what it is computed in, or bfloat16, which becomes float32.

        Raises:
            ValueError: Another shape or type.
        """
        if x.ndim != 2 or x.dtype not in COMPUTED:
            accepted = f"(batch, dim) of {', '.join(map(str, COMPUTED))}"
            raise ValueError(f"x: got shape {tuple(x.shape)} of {x.dtype}, expected {accepted}")
        x = x.to(COMPUTED[x.dtype])
        if torch.is_grad_enabled() and x.requires_grad:
            return _Crossing.apply(x, self._reward)
        return _cross(_scores, self._reward, x)


def checkpoint_reward(checkpoint: Checkpoint, conservative: float = 0.0) -> TorchReward:
    """The reward of a checkpoint on joined features: mean - conservative * std over its members.

    Args:
        checkpoint: A head or an ensemble.
        conservative: Standard deviations over the members to take off, at least 0; 0 for a single head.

    Raises:
        ValueError: `conservative` is not usable with this checkpoint.
    """
    require_conservative(conservative, checkpoint.members)
    head = Head(checkpoint.head.widths)

    def single(variables: Variables, x: Float[Array, "batch dim"]) -> Float[Array, " batch"]:
        return evaluate_head(head, _in_type_of(x, variables), x)

    def combined(variables: Variables, x: Float[Array, "batch dim"]) -> Float[Array, " batch"]:
        scores = member_scores(head, _in_type_of(x, variables), x)
        return scores.mean(axis=0) - conservative * _std(scores) if conservative else scores.mean(axis=0)

    if checkpoint.members == 1:
        return TorchReward(Partial(single, checkpoint.single))
    return TorchReward(Partial(combined, checkpoint.stacked))


def _in_type_of(x: Array, variables: Variables) -> Variables:
    return jax.tree.map(lambda array: array.astype(x.dtype), variables)


def _std(scores: Float[Array, "members batch"]) -> Float[Array, " batch"]:
    # The root of 0 has no finite gradient; where all members agree, 0 stands for it.
    variance = scores.var(axis=0)
    spread = variance > 0
    return jnp.where(spread, jnp.sqrt(jnp.where(spread, variance, 1)), 0)


@jax.jit
def _scores(reward: Partial, x: Float[Array, "batch dim"]) -> Float[Array, " batch"]:
    return reward(x)


@jax.jit
def _scores_and_gradient(
    reward: Partial, x: Float[Array, "batch dim"]
) -> tuple[Float[Array, " batch"], Float[Array, "batch dim"]]:
    scores, pull_back = jax.vjp(reward, x)
    return scores, pull_back(jnp.ones_like(scores))[0]


class _Crossing(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, reward: Partial) -> Tensor:
        scores, gradient = _cross(_scores_and_gradient, reward, x)
        ctx.save_for_backward(gradient)
        return scores

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None]:
        # Only with create_graph is this recorded; torch would take the saved gradient for a constant, silently.
        if torch.is_grad_enabled():
            raise RuntimeError(
                "a JAX reward can be differentiated once: its gradient has no gradient in torch; call backward or "
                "autograd.grad without create_graph=True"
            )
        (gradient,) = ctx.saved_tensors
        return cotangent[:, None] * gradient, None


def _cross(program: Callable[[Partial, Array], Any], reward: Partial, x: Tensor) -> Any:
    """Runs a compiled program on a tensor; its arrays come back as tensors beside it."""
    # Without it JAX rounds float64 to float32; it holds for this thread alone.
    with jax.enable_x64(True) if x.dtype == torch.float64 else nullcontext():
        # Waiting keeps x from being overwritten or freed while JAX still reads it.
        arrays = jax.block_until_ready(program(reward, _borrowed(x.detach())))
    return jax.tree.map(lambda array: torch.from_dlpack(array).to(x.device, copy=True), arrays)


def _borrowed(x: Tensor) -> Array:
    """A JAX array on the memory of a tensor, or on that of a copy where JAX lacks its device."""
    if x.device.type != "cpu" and jax.default_backend() == "cpu":
        x = x.cpu()
    return jnp.from_dlpack(x.contiguous())
