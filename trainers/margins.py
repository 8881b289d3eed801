"""What a head says of pairs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from trainers.data import Arrays, Dataset
from trainers.held_out import Judged, Margins
from trainers.population import scores
from trainers.view import View, view_whole
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.head import Head, Variables, split_input

__all__ = ["head_margins", "judge_head", "targets_of"]

Rows = Int[np.ndarray, " pairs"]


def head_margins(checkpoint: Checkpoint, dataset: Dataset, rows: Rows) -> Margins:
    """s(A) - s(B) of some pairs; of an ensemble, the mean of its members' margins.

    Args:
        checkpoint: The head.
        dataset: Holds at least its blocks.
        rows: Which pairs.

    Raises:
        ValueError: The data set lacks a block.
    """
    dataset = dataset.seen_by(checkpoint.layout)
    return _margins(checkpoint, dataset, rows, _view(checkpoint, dataset))


def judge_head(checkpoint: Checkpoint, dataset: Dataset, rows: Rows) -> Judged:
    """What a head says of some pairs with and without their prompts; see `head_margins`."""
    dataset = dataset.seen_by(checkpoint.layout)
    view, prompts = _view(checkpoint, dataset), dataset.arrays.prompt
    margins = _margins(checkpoint, dataset, rows, view)
    if not prompts:
        return Judged(margins, targets_of(dataset, rows), None, np.zeros(len(rows), bool))
    empty = _margins(checkpoint, dataset, rows, view._replace(prompted=jnp.zeros_like(view.prompted)))
    there = np.asarray(dataset.arrays.index)[rows, 2] < len(prompts[0]) - 1  # the last row is that of no prompt
    return Judged(margins, targets_of(dataset, rows), empty, there & np.asarray(view.prompted)[rows])


def targets_of(dataset: Dataset, rows: Rows) -> Margins:
    """P(A preferred) of some pairs, as listeners said."""
    return np.asarray(dataset.arrays.target)[rows].astype(np.float64)


def _view(checkpoint: Checkpoint, dataset: Dataset) -> View:
    """A head trained without some source's prompts is measured so too."""
    return view_whole(dataset, checkpoint.training.get("data", {}).get("zero_prompt_sources", []))


def _margins(checkpoint: Checkpoint, dataset: Dataset, rows: Rows, view: View) -> Margins:
    found = _scores(Head(checkpoint.head.widths), checkpoint.stacked, dataset, jnp.asarray(rows), view)
    means = np.asarray(found).astype(np.float64).mean(axis=0)
    return means[:, 0] - means[:, 1]


def _scores(
    head: Head, stacked: Variables, dataset: Dataset, rows: Int[Array, " pairs"], view: View
) -> Float[Array, "members pairs 2"]:
    dims = [block.dim for block in dataset.layout.blocks]
    return _jitted_scores(head, jax.vmap(lambda one: split_input(one, dims))(stacked), dataset.arrays, rows, view)


@partial(jax.jit, static_argnums=0)
def _jitted_scores(
    head: Head, stacked: Variables, arrays: Arrays, rows: Int[Array, " pairs"], view: View
) -> Float[Array, "members pairs 2"]:
    return jax.vmap(lambda variables: scores(head, variables, arrays, rows, view))(stacked)
