"""The reward head: an MLP from joined features to one score (spec.md section 1).

Each hidden layer is Linear -> BatchNorm -> ReLU -> Dropout. It is torch's arithmetic, kept exactly: the running
variance is the unbiased one (flax's own BatchNorm keeps the biased), and a batch of pairs has its statistics taken
for each side alone, so running values move twice a step.

A Linear bias in front of a BatchNorm has no effect on the training loss, and the output bias cancels in a margin.
Their true gradient is zero; what torch computes is rounding noise, which Adam blows up to full steps. Here they get
exactly zero, so a head trained from scratch keeps them at 0, and an imported head keeps its own (with weight decay).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Float, PRNGKeyArray

from tunejury_jax.head_config import PAPER_WIDTHS, HeadConfig

__all__ = ["Columns", "Head", "Variables", "evaluate_head", "initialise", "join_input", "split_input"]

Variables = Mapping[str, Any]
"""`{"params": ..., "batch_stats": ...}` of a `Head`."""

Columns = Float[Array, "..."] | tuple[Float[Array, "..."], ...]
"""Input columns: (*batch, dim) as one array, or as groups of columns whose batch axes broadcast."""

EPSILON = 1e-5
MOMENTUM = 0.1
DROPOUT_LEVELS = 1 << 16


class Linear(nn.Module):
    """x @ weight.T + bias with Kaiming normal initialisation (fan_out, ReLU gain) and an untrained bias.

    The weight is (features, dim), as torch keeps it. Columns may come in groups, each with a weight of its own:
    x @ weight.T = sum over groups of x_i @ weight_i.T. A group that is the same for both sides of a pair is multiplied
    once.
    """

    features: int

    @nn.compact
    def __call__(self, x: Columns) -> Float[Array, "*batch features"]:
        weight = self.param("weight", _initial_weight, x, self.features)
        groups, weights = (x, weight) if isinstance(x, tuple) else ((x,), (weight,))
        bias = self.param("bias", nn.initializers.zeros, (self.features,), groups[0].dtype)
        first, *others = (_product(group, own) for group, own in zip(groups, weights, strict=True))
        return sum(others, first) + jax.lax.stop_gradient(bias)


def _product(
    x: Float[Array, "*batch dim"], weight: Float[Array | np.ndarray, "features dim"]
) -> Float[Array, "*batch features"]:
    """x @ weight.T, as (weight @ x.T).T: on a CPU the other order copies the whole weight every time.

    The barrier keeps the compiler from turning it round again.
    """
    *batch, dim = x.shape
    rows = x.reshape(math.prod(batch), dim)
    product = jax.lax.dot_general(weight, rows, (((1,), (1,)), ((), ())), precision=_precision())
    return jax.lax.optimization_barrier(product).T.reshape(*batch, weight.shape[0])


def _precision() -> jax.lax.Precision | None:
    """Whole float32, unless JAX is configured otherwise: by itself it rounds products to TF32 on an accelerator."""
    chosen = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    return None if chosen else jax.lax.Precision.HIGHEST


def _initial_weight(key: PRNGKeyArray, x: Columns, features: int) -> Columns:
    dims = [group.shape[-1] for group in x] if isinstance(x, tuple) else [x.shape[-1]]
    dtype = jax.tree.leaves(x)[0].dtype
    whole = nn.initializers.variance_scaling(2.0, "fan_out", "normal")(key, (sum(dims), features), dtype).T
    return _split(whole, dims) if isinstance(x, tuple) else whole


class BatchNorm(nn.Module):
    """torch.nn.BatchNorm1d over the batch axis, for each leading axis (side) by itself.

    Training, with weights w that mark the real rows: mean = sum(w x) / n, var = sum(w (x - mean)^2) / n,
    running <- 0.9 running + 0.1 (mean, var * n / (n - 1)), once for each side in order.
    """

    @nn.compact
    def __call__(
        self, x: Float[Array, "*sides batch features"], weight: Float[Array, " batch"] | None
    ) -> Float[Array, "*sides batch features"]:
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape, x.dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, x.dtype)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, x.dtype)
        var = self.variable("batch_stats", "var", jnp.ones, shape, x.dtype)
        if weight is None:
            return (x - mean.value) * (jax.lax.rsqrt(var.value + EPSILON) * scale) + bias
        count, rows = weight.sum(), weight[:, None]
        batch_mean = (x * rows).sum(-2, keepdims=True) / count
        centred = x - batch_mean
        batch_var = (jnp.square(centred) * rows).sum(-2, keepdims=True) / count
        mean.value = _follow(mean.value, batch_mean)
        var.value = _follow(var.value, batch_var * (count / (count - 1.0)))
        return centred * (jax.lax.rsqrt(batch_var + EPSILON) * scale) + bias


def _follow(running: Float[Array, " features"], batch: Float[Array, "*sides 1 features"]) -> Float[Array, " features"]:
    for value in jax.lax.stop_gradient(batch).reshape(-1, running.shape[0]):
        running = (1.0 - MOMENTUM) * running + MOMENTUM * value
    return running


class Head(nn.Module):
    """Scores rows of joined features; see the module for the arithmetic."""

    widths: tuple[int, ...] = PAPER_WIDTHS

    @nn.compact
    def __call__(
        self,
        x: Columns,
        *,
        weight: Float[Array, " batch"] | None = None,
        dropout: Float[Array, ""] | float = 0.0,
    ) -> Float[Array, "*sides batch"]:
        """Scores features.

        Args:
            x: Features, (*sides, batch, dim), joined or in groups of columns.
            weight: Training only: 1 for a real row, 0 for padding. With it BatchNorm uses and updates batch
                statistics (collection `batch_stats`) and dropout is on (rng `dropout`); without it the head is
                evaluated.
            dropout: Share of hidden units dropped while training.

        Returns:
            One score a row, unbounded; negative is normal.
        """
        for layer, width in enumerate(self.widths):
            x = Linear(width, name=f"linear_{layer}")(x)
            x = nn.relu(BatchNorm(name=f"norm_{layer}")(x, weight))
            if weight is not None:
                x = _drop(self.make_rng("dropout"), x, dropout)
        return Linear(1, name="output")(x)[..., 0]


def _drop(
    key: PRNGKeyArray, x: Float[Array, "*batch features"], rate: Float[Array, ""] | float
) -> Float[Array, "*batch features"]:
    """Keeps each value with probability 1 - rate, to 1 / 65536.

    A hash of 64 bits serves four values; `jax.random.bits` would hash for each.
    """
    keep = 1.0 - jnp.asarray(rate, x.dtype)
    words = threefry_2x32(jax.random.key_data(key), jax.lax.iota(jnp.uint32, (x.size + 1) // 2))
    draws = jax.lax.bitcast_convert_type(words, jnp.uint16).ravel()[: x.size].reshape(x.shape)
    return jnp.where(draws.astype(jnp.uint32) < (keep * DROPOUT_LEVELS).astype(jnp.uint32), x / keep, 0.0)


def evaluate_head(head: Head, variables: Variables, x: Columns) -> Float[Array, "*sides batch"]:
    """Scores rows with running statistics and no dropout: each row by itself."""
    scores = head.apply(variables, x)
    assert isinstance(scores, jax.Array)  # flax returns a pair only where collections are mutable
    return scores


@partial(jax.jit, static_argnums=0)
def initialise(config: HeadConfig, key: PRNGKeyArray) -> Variables:
    """Fresh variables of a head, a function of the key alone."""
    return Head(config.widths).init(key, jnp.zeros((1, config.input_dim)))


def split_input(variables: Variables, dims: Sequence[int]) -> Variables:
    """The same head for features in groups of columns, of these widths."""
    return _with_first_weight(variables, _split(variables["params"]["linear_0"]["weight"], dims))


def join_input(variables: Variables, keep: Sequence[bool]) -> Variables:
    """The same head for joined features of the groups to keep; it must have seen zeros for the others."""
    groups = zip(variables["params"]["linear_0"]["weight"], keep, strict=True)
    return _with_first_weight(variables, jnp.concatenate([weight for weight, kept in groups if kept], axis=1))


def _with_first_weight(variables: Variables, weight: Columns) -> Variables:
    params = variables["params"]
    return {**variables, "params": {**params, "linear_0": {**params["linear_0"], "weight": weight}}}


def _split(weight: Float[Array, "features dim"], dims: Sequence[int]) -> tuple[Float[Array, "features _"], ...]:
    offsets = itertools.accumulate(dims[:-1])
    return tuple(jnp.split(weight, list(offsets), axis=1))
