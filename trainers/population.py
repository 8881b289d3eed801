"""The engine: K heads trained side by side, an epoch of a head being one jitted call.

A member's trajectory is a function of its own hyper-parameters, view, seed and data; who trains beside it has no
influence. All these are traced, so members differ in them without a new compilation; widths and batch size are
static, so a population shares them. The pairs of an epoch are gathered on the device, and a call donates the member's
old state.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Int32, PRNGKeyArray, PyTree

from trainers.data import Arrays
from trainers.recipe import TrainConfig
from trainers.view import Pairs, View, gather
from tunejury_jax.head import Columns, Head, Variables, evaluate_head, initialise, split_input
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.losses import pair_loss, smooth

__all__ = [
    "Best",
    "EpochMetrics",
    "Hyper",
    "Member",
    "Order",
    "batch_of",
    "epoch",
    "init_member",
    "order_pairs",
    "run_epoch",
    "scores",
    "seed_key",
    "start_member",
    "train_step",
]

SCORE_CHUNK = 256
OPTIONS = {
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_CONCURRENCY_OPTIMIZED",
    "xla_cpu_copy_insertion_use_region_analysis": True,
}
"""For the compiler: 2 to 5 % of a step on two cores (docs/performance.md); without effect on accelerators."""


class Hyper(NamedTuple):
    """What may differ between the members of a population."""

    learning_rate: Float[Array, ""]
    weight_decay: Float[Array, ""]
    dropout: Float[Array, ""]
    label_smoothing: Float[Array, ""]
    min_delta: Float[Array, ""]
    patience: Int32[Array, ""]
    seed: Int32[Array, ""]
    view: View

    @classmethod
    def of(cls, config: TrainConfig, view: View) -> "Hyper":
        """The traced part of a configuration."""
        return cls(
            learning_rate=jnp.asarray(config.learning_rate),
            weight_decay=jnp.asarray(config.weight_decay),
            dropout=jnp.asarray(config.dropout),
            label_smoothing=jnp.asarray(config.label_smoothing),
            min_delta=jnp.asarray(config.min_delta),
            patience=jnp.asarray(config.patience),
            seed=jnp.asarray(config.seed),
            view=view,
        )


class Best(NamedTuple):
    """The weights with the lowest validation loss so far."""

    loss: Float[Array, ""]
    epoch: Int32[Array, ""]
    params: PyTree
    batch_stats: PyTree


class Member(NamedTuple):
    """The state of one head."""

    params: PyTree
    batch_stats: PyTree
    optimizer: optax.OptState
    epoch: Int32[Array, ""]
    stale: Int32[Array, ""]
    best: Best


class EpochMetrics(NamedTuple):
    """Means over the pairs of an epoch; `active` is False once patience has run out.

    `valid_score` is the mean score of both sides, the arbitrary constant that a head's scores have.
    """

    train_loss: Float[Array, ""]
    valid_loss: Float[Array, ""]
    valid_accuracy: Float[Array, ""]
    valid_score: Float[Array, ""]
    active: Bool[Array, ""]


def init_member(widths: tuple[int, ...], dims: Sequence[int], hyper: Hyper) -> Member:
    """A fresh member for inputs in groups of these widths; its weights are a function of its seed."""
    variables = initialise(HeadConfig(sum(dims), widths), jax.random.fold_in(seed_key(hyper), 0))
    return start_member(split_input(variables, dims), hyper)


def start_member(variables: Variables, hyper: Hyper) -> Member:
    """A member that starts from given weights, the first split by the groups of its inputs."""
    params, batch_stats = variables["params"], variables["batch_stats"]
    count = partial(jnp.zeros, (), jnp.int32)
    # Copies, not aliases: a member is donated whole, and a buffer can be given away only once.
    best = Best(jnp.full((), jnp.inf, float), count(), *jax.tree.map(jnp.copy, (params, batch_stats)))
    return Member(params, batch_stats, _optimizer(hyper).init(params), count(), count(), best)


class Order(NamedTuple):
    """The pairs of an epoch: rows in their order and how many are used; what follows those is never read."""

    rows: Int[Array, " pairs"]
    used: Int32[Array, ""]


def order_pairs(key: PRNGKeyArray, rows: Int[Array, " pairs"], pool: Bool[Array, " pairs"], batch_size: int) -> Order:
    """Shuffles the pairs of a pool.

    A last step of a single pair is left out, since BatchNorm has no variance of one row; with a new order every
    epoch it is another pair each time.

    Args:
        key: The order follows from it and from the pool alone: each pair draws by its own row, so that rows outside
            the pool change nothing.
        rows: Rising rows of pairs.
        pool: Which of them to use.
        batch_size: Pairs a step.
    """
    draws = jax.vmap(lambda row: jax.random.bits(jax.random.fold_in(key, row), dtype=jnp.uint32))(rows) >> 1
    order = jnp.argsort(jnp.where(pool, draws, jnp.uint32(1 << 31)), stable=True)
    count = pool.sum(dtype=jnp.int32)
    return Order(rows[order], count - (count % batch_size == 1).astype(jnp.int32))


def batch_of(order: Order, step: Int32[Array, ""], size: int) -> tuple[Int[Array, " size"], Bool[Array, " size"]]:
    """Rows of one step, and which of them are real: the last step of an epoch is padded."""
    places = step * size + jnp.arange(size, dtype=jnp.int32)
    return order.rows[jnp.minimum(places, len(order.rows) - 1)], places < order.used


def epoch(
    member: Member, hyper: Hyper, arrays: Arrays, pairs: Pairs, *, widths: tuple[int, ...], batch_size: int
) -> tuple[Member, EpochMetrics]:
    """Trains a member on every pair of its pool once, validates it, and keeps it if it is the best so far.

    Args:
        member: State of the head; the jitted calls donate it.
        hyper: Its hyper-parameters and view.
        arrays: Features and labels; an argument, so that they are not baked into the program.
        pairs: The pairs of the population.
        widths: Hidden layers of the head.
        batch_size: Pairs a step; the last step of an epoch is shorter.
    """
    head, number = Head(widths), member.epoch + 1
    order_key, dropout_key = jax.random.split(jax.random.fold_in(seed_key(hyper), number))
    order = order_pairs(order_key, pairs.train, hyper.view.train, batch_size)

    def step(index: Int32[Array, ""], state: tuple[Member, Array]) -> tuple[Member, Array]:
        member, total = state
        rows, real = batch_of(order, index, batch_size)
        weight = real.astype(total.dtype)
        batch = (gather(arrays, rows, hyper.view), arrays.target[rows], weight)
        member, loss = train_step(head, member, hyper, batch, jax.random.fold_in(dropout_key, index))
        return member, total + loss * weight.sum()

    steps = (order.used + batch_size - 1) // batch_size
    member, total = jax.lax.fori_loop(0, steps, step, (member, jnp.zeros((), arrays.target.dtype)))
    loss, accuracy, score = _validate(head, member, hyper, arrays, pairs.valid)
    member = _keep_best(member._replace(epoch=number), hyper, loss)
    return member, EpochMetrics(
        total / order.used.astype(total.dtype), loss, accuracy, score, member.stale < hyper.patience
    )


run_epoch = jax.jit(epoch, static_argnames=("widths", "batch_size"), donate_argnames="member", compiler_options=OPTIONS)


def train_step(
    head: Head,
    member: Member,
    hyper: Hyper,
    batch: tuple[Columns, Float[Array, " batch"], Float[Array, " batch"]],
    key: PRNGKeyArray,
) -> tuple[Member, Float[Array, ""]]:
    """One AdamW step on one batch of pairs; returns the mean loss of its real pairs."""
    x, target, weight = batch

    def batch_loss(params: PyTree) -> tuple[Float[Array, ""], PyTree]:
        variables = {"params": params, "batch_stats": member.batch_stats}
        scores, updated = head.apply(
            variables, x, weight=weight, dropout=hyper.dropout, rngs={"dropout": key}, mutable=["batch_stats"]
        )
        losses = jax.vmap(pair_loss)(scores[0] - scores[1], smooth(target, hyper.label_smoothing))
        return (losses * weight).sum() / weight.sum(), updated["batch_stats"]

    (loss, batch_stats), gradients = jax.value_and_grad(batch_loss, has_aux=True)(member.params)
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float to its int32 step count
        updates, optimizer = _optimizer(hyper).update(gradients, member.optimizer, member.params)
    params = optax.apply_updates(member.params, updates)
    return member._replace(params=params, batch_stats=batch_stats, optimizer=optimizer), loss


def scores(
    head: Head, variables: Variables, arrays: Arrays, rows: Int[Array, " pairs"], view: View
) -> Float[Array, "pairs 2"]:
    """s(A) and s(B) of some pairs with an evaluated head, a bounded number of pairs at a time."""

    def of_pair(row: Int[Array, ""]) -> Float[Array, "2"]:
        return evaluate_head(head, variables, gather(arrays, row[None], view))[:, 0]

    return jax.lax.map(of_pair, rows, batch_size=SCORE_CHUNK)


def seed_key(hyper: Hyper) -> PRNGKeyArray:
    """The key of a head, of one kind whatever JAX is configured to, so that a seed means the same head everywhere."""
    return jax.random.key(hyper.seed, impl="threefry2x32")


def _optimizer(hyper: Hyper) -> optax.GradientTransformation:
    return optax.adamw(hyper.learning_rate, weight_decay=hyper.weight_decay)


def _validate(
    head: Head, member: Member, hyper: Hyper, arrays: Arrays, rows: Int[Array, " pairs"]
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Loss, accuracy and mean score on the pairs the member is validated on."""
    variables = {"params": member.params, "batch_stats": member.batch_stats}
    found, target = scores(head, variables, arrays, rows, hyper.view), arrays.target[rows]
    margin, judged = found[:, 0] - found[:, 1], hyper.view.valid.astype(found.dtype)
    decisive = jnp.where(target != 0.5, judged, 0.0)
    right = jnp.where(margin == 0, 0.5, ((margin > 0) == (target > 0.5)).astype(margin.dtype))
    loss = (jax.vmap(pair_loss)(margin, target) * judged).sum() / judged.sum()
    return loss, (right * decisive).sum() / decisive.sum(), (found.mean(axis=1) * judged).sum() / judged.sum()


def _keep_best(member: Member, hyper: Hyper, loss: Float[Array, ""]) -> Member:
    """Early stopping: a member whose patience has run out changes its best weights no more."""
    better = (loss < member.best.loss - hyper.min_delta) & (member.stale < hyper.patience)
    now = Best(loss, member.epoch, member.params, member.batch_stats)
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), now, member.best)
    return member._replace(best=best, stale=jnp.where(better, 0, member.stale + 1))
