"""The engine: K heads trained side by side, an epoch of a head being one jitted call.

A member's trajectory is a function of its own hyper-parameters and seed and of the data; who trains beside it has no
influence. Hyper-parameters are traced, so members differ in them without a new compilation; widths and batch size
are static, so a population shares them. The pairs of an epoch are gathered on the device, and a call donates the
member's old state.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Int32, PRNGKeyArray, PyTree

from trainers.data import Arrays, gather
from trainers.recipe import TrainConfig
from tunejury_jax.head import Head, Variables, evaluate_head, initialise
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.losses import pair_loss, smooth

__all__ = [
    "Best",
    "EpochMetrics",
    "Hyper",
    "Member",
    "Pairs",
    "epoch",
    "init_member",
    "margins",
    "run_epoch",
    "run_stacked_epoch",
    "start_member",
    "train_step",
]

MARGIN_CHUNK = 1024


class Hyper(NamedTuple):
    """What may differ between the members of a population."""

    learning_rate: Float[Array, ""]
    weight_decay: Float[Array, ""]
    dropout: Float[Array, ""]
    label_smoothing: Float[Array, ""]
    min_delta: Float[Array, ""]
    patience: Int32[Array, ""]
    columns: Bool[Array, " dim"]
    key: PRNGKeyArray

    @classmethod
    def of(cls, config: TrainConfig, columns: Bool[np.ndarray, " dim"]) -> "Hyper":
        """The traced part of a configuration.

        Args:
            config: Hyper-parameters and seed.
            columns: Input columns the head sees; the others are zeroed.
        """
        return cls(
            learning_rate=jnp.asarray(config.learning_rate),
            weight_decay=jnp.asarray(config.weight_decay),
            dropout=jnp.asarray(config.dropout),
            label_smoothing=jnp.asarray(config.label_smoothing),
            min_delta=jnp.asarray(config.min_delta),
            patience=jnp.asarray(config.patience),
            columns=jnp.asarray(columns),
            key=jax.random.key(config.seed),
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


class Pairs(NamedTuple):
    """Rows of the pairs to train and to validate on."""

    train: Int[Array, " train_pairs"]
    valid: Int[Array, " valid_pairs"]


class EpochMetrics(NamedTuple):
    """Means over the pairs of an epoch; `active` is False once patience has run out."""

    train_loss: Float[Array, ""]
    valid_loss: Float[Array, ""]
    valid_accuracy: Float[Array, ""]
    active: Bool[Array, ""]


def init_member(config: HeadConfig, hyper: Hyper) -> Member:
    """A fresh member; its weights are a function of its key."""
    return start_member(initialise(config, jax.random.fold_in(hyper.key, 0)), hyper)


def start_member(variables: Variables, hyper: Hyper) -> Member:
    """A member that starts from given weights."""
    params, batch_stats = variables["params"], variables["batch_stats"]
    count = partial(jnp.zeros, (), jnp.int32)
    # Copies, not aliases: a member is donated whole, and a buffer can be given away only once.
    best = Best(jnp.full((), jnp.inf, float), count(), *jax.tree.map(jnp.copy, (params, batch_stats)))
    return Member(params, batch_stats, _optimizer(hyper).init(params), count(), count(), best)


def epoch(
    member: Member, hyper: Hyper, arrays: Arrays, pairs: Pairs, *, widths: tuple[int, ...], batch_size: int
) -> tuple[Member, EpochMetrics]:
    """Trains a member on every pair once, validates it, and keeps it if it is the best so far.

    Args:
        member: State of the head; the jitted calls donate it.
        hyper: Its hyper-parameters.
        arrays: Features and labels; an argument, so that they are not baked into the program.
        pairs: Which pairs to train and to validate on.
        widths: Hidden layers of the head.
        batch_size: Pairs a step; the last step of an epoch is shorter.
    """
    head = Head(widths)
    number = member.epoch + 1
    order_key, dropout_key = jax.random.split(jax.random.fold_in(hyper.key, number))
    steps = epoch_steps(jax.random.permutation(order_key, pairs.train), batch_size)

    def step(
        member: Member, inputs: tuple[Array, Int[Array, " batch"], Float[Array, " batch"]]
    ) -> tuple[Member, Array]:
        index, rows, weight = inputs
        batch = (gather(arrays, rows, hyper.columns), arrays.target[rows], weight)
        return train_step(head, member, hyper, batch, jax.random.fold_in(dropout_key, index))

    member, losses = jax.lax.scan(step, member, (jnp.arange(len(steps[0])), *steps))
    train_loss = (losses * steps[1].sum(axis=1)).sum() / steps[1].sum()
    loss, accuracy = _validate(head, member, hyper, arrays, pairs.valid)
    member = _keep_best(member._replace(epoch=number), hyper, loss)
    return member, EpochMetrics(train_loss, loss, accuracy, member.stale < hyper.patience)


run_epoch = jax.jit(epoch, static_argnames=("widths", "batch_size"), donate_argnames="member")


@partial(jax.jit, static_argnames=("widths", "batch_size"), donate_argnames="members")
def run_stacked_epoch(
    members: Member, hypers: Hyper, arrays: Arrays, pairs: Pairs, *, widths: tuple[int, ...], batch_size: int
) -> tuple[Member, EpochMetrics]:
    """`epoch` of many members at once; the leaves of `members` and `hypers` have a leading member axis."""

    def one(member: Member, hyper: Hyper) -> tuple[Member, EpochMetrics]:
        return epoch(member, hyper, arrays, pairs, widths=widths, batch_size=batch_size)

    return jax.vmap(one)(members, hypers)


def epoch_steps(
    order: Int[Array, " pairs"], batch_size: int
) -> tuple[Int[Array, "steps batch"], Float[Array, "steps batch"]]:
    """Cuts an epoch's order into steps: rows, and 1 for a pair and 0 for the padding of the last step.

    A last step of a single pair is left out, since BatchNorm has no variance of one row; with a new order every
    epoch it is another pair each time.
    """
    used = len(order) - (len(order) % batch_size == 1)
    count = -(-used // batch_size)
    padding = count * batch_size - used
    rows = jnp.concatenate([order[:used], jnp.zeros(padding, order.dtype)])
    weight = jnp.concatenate([jnp.ones(used), jnp.zeros(padding)])
    return rows.reshape(count, batch_size), weight.reshape(count, batch_size)


def train_step(
    head: Head,
    member: Member,
    hyper: Hyper,
    batch: tuple[Float[Array, "2 batch dim"], Float[Array, " batch"], Float[Array, " batch"]],
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


def margins(
    head: Head, variables: Variables, arrays: Arrays, rows: Int[Array, " pairs"], columns: Bool[Array, " dim"]
) -> Float[Array, " pairs"]:
    """s(A) - s(B) of some pairs with an evaluated head, a bounded number of pairs at a time."""

    def margin(row: Int[Array, ""]) -> Float[Array, ""]:
        scores = evaluate_head(head, variables, gather(arrays, row[None], columns))
        return scores[0, 0] - scores[1, 0]

    return jax.lax.map(margin, rows, batch_size=MARGIN_CHUNK)


def _optimizer(hyper: Hyper) -> optax.GradientTransformation:
    return optax.adamw(hyper.learning_rate, weight_decay=hyper.weight_decay)


def _validate(
    head: Head, member: Member, hyper: Hyper, arrays: Arrays, rows: Int[Array, " pairs"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    variables = {"params": member.params, "batch_stats": member.batch_stats}
    margin, target = margins(head, variables, arrays, rows, hyper.columns), arrays.target[rows]
    decisive = (target != 0.5).astype(margin.dtype)
    right = jnp.where(margin == 0, 0.5, ((margin > 0) == (target > 0.5)).astype(margin.dtype))
    return jax.vmap(pair_loss)(margin, target).mean(), (right * decisive).sum() / decisive.sum()


def _keep_best(member: Member, hyper: Hyper, loss: Float[Array, ""]) -> Member:
    """Early stopping: a member whose patience has run out changes its best weights no more."""
    better = (loss < member.best.loss - hyper.min_delta) & (member.stale < hyper.patience)
    now = Best(loss, member.epoch, member.params, member.batch_stats)
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), now, member.best)
    return member._replace(best=best, stale=jnp.where(better, 0, member.stale + 1))
