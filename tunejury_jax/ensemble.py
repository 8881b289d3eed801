"""Heads of one shape combined into one checkpoint, whose score is their mean.

Only margins are trained, so a head's score has an arbitrary offset. Left as they are, the offsets would make up most
of the standard deviation over members; they are taken out first.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.head import Variables
from tunejury_jax.members import stack
from tunejury_jax.store.plan import difference

__all__ = ["OFFSET", "ensemble", "kind_of"]

OFFSET = "valid_score_mean"
"""The metric by which members are centred: a head's mean score over both sides of the validation pairs."""

SAME_DATA = ("store", "data")
"""What of `training` must agree: the validation clips follow from it, and so does how the ensemble is evaluated."""


def ensemble(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """Combines heads; each output bias is shifted so that all have the same mean score over the validation clips.

    bias_i <- bias_i + mean_j(m_j) - m_i, where m_i is `metrics["valid_score_mean"]` of head i

    The shift changes no margin, and not the ensemble's mean score over these clips.

    Args:
        checkpoints: Single heads of one architecture, trained on one store.

    Returns:
        A checkpoint of all of them, in their order; of one head, that head as it is.

    Raises:
        ValueError: There is none, or a member does not fit the first or cannot be centred; says which and why.
    """
    if not checkpoints:
        raise ValueError("checkpoints: got none, accepted is one or more")
    if len(checkpoints) == 1:
        return checkpoints[0]
    digests = [checkpoint.sha256 for checkpoint in checkpoints]
    for number, checkpoint in enumerate(checkpoints):
        _require_fit(number, checkpoint, checkpoints[0])
        _require_new(number, digests)
    means = np.array([_offset(number, checkpoint) for number, checkpoint in enumerate(checkpoints)])
    shifts = means.mean() - means
    variables = stack([_shifted(c.variables, float(shift)) for c, shift in zip(checkpoints, shifts, strict=True)])
    training = _training(checkpoints, digests, shifts)
    metrics = {"valid_loss_of_members": [_valid_loss(c) for c in checkpoints], OFFSET: float(means.mean())}
    return replace(checkpoints[0], variables=variables, training=training, metrics=metrics)


def _require_fit(number: int, checkpoint: Checkpoint, first: Checkpoint) -> None:
    if checkpoint.members > 1:
        raise ValueError(f"member {number}: is an ensemble of {checkpoint.members}, accepted are single heads")
    if lines := difference(kind_of(checkpoint), kind_of(first)):
        raise ValueError(f"member {number}: cannot be combined with member 0, it has {'; '.join(lines)}")


def kind_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the members of an ensemble have in common."""
    return {
        "widths": list(checkpoint.head.widths),
        "layout": {block.name: [block.dim, block.table] for block in checkpoint.layout.blocks},
        "encoders": checkpoint.encoders,
        **{name: checkpoint.training.get(name) for name in SAME_DATA},
    }


def _require_new(number: int, digests: Sequence[str]) -> None:
    """A head counted twice would make the members look more of one mind than they are."""
    if (earlier := digests.index(digests[number])) < number:
        raise ValueError(f"member {number}: is the same head as member {earlier}, accepted is each head once")


def _offset(number: int, checkpoint: Checkpoint) -> float:
    mean = checkpoint.metrics.get(OFFSET)
    if not isinstance(mean, float) or not math.isfinite(mean):
        raise ValueError(
            f"member {number}: metrics.{OFFSET} is {mean!r}, accepted is a finite number; a head's score has an "
            "arbitrary offset, and members are centred by their mean scores over the validation clips. Checkpoints "
            "of older versions lack it: train again"
        )
    return mean


def _shifted(variables: Variables, shift: float) -> Variables:
    params = variables["params"]
    bias = params["output"]["bias"]
    output = {**params["output"], "bias": jnp.asarray(np.float64(bias) + shift, bias.dtype)}
    return {**variables, "params": {**params, "output": output}}


def _training(
    checkpoints: Sequence[Checkpoint], digests: Sequence[str], shifts: Float[np.ndarray, " members"]
) -> dict[str, Any]:
    """What all members share, and of each what is its own."""
    first = checkpoints[0].training
    shared = {name: fact for name, fact in first.items() if all(c.training.get(name) == fact for c in checkpoints)}
    numbers = zip(checkpoints, digests, shifts.tolist(), strict=True)
    return {**shared, "members": [dict(_record(shared, *member)) for member in numbers]}


def _record(shared: Mapping[str, Any], checkpoint: Checkpoint, digest: str, shift: float) -> Iterator[tuple[str, Any]]:
    yield from (("sha256", digest), ("valid_loss", _valid_loss(checkpoint)), (OFFSET, checkpoint.metrics[OFFSET]))
    yield "shift", shift
    yield from ((name, fact) for name, fact in checkpoint.training.items() if name not in shared)


def _valid_loss(checkpoint: Checkpoint) -> float | None:
    return checkpoint.metrics.get("valid_loss")
