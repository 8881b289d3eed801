"""Our own epochs, ready to be timed."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from trainers.data import Arrays
from trainers.population import Hyper, init_member, run_epoch
from trainers.recipe import TrainConfig
from trainers.view import Pairs, View

__all__ = ["our_epochs", "whole_view"]


def our_epochs(arrays: Arrays, pairs: Pairs, recipe: TrainConfig | None = None) -> Callable[[], object]:
    """A function that trains one head for an epoch on these pairs and validates it; each call goes on from the last."""
    recipe = recipe or TrainConfig()
    hyper = Hyper.of(recipe, whole_view(arrays, pairs))
    dims = [block.shape[1] for block in (*arrays.clip, *arrays.prompt)]
    state = [init_member(recipe.widths, dims, hyper)]
    shape = {"widths": recipe.widths, "batch_size": recipe.batch_size}

    def run() -> None:
        state[0], metrics = run_epoch(state[0], hyper, arrays, pairs, **shape)
        jax.block_until_ready((state[0], metrics))

    return run


def whole_view(arrays: Arrays, pairs: Pairs) -> View:
    """The view of a head that sees everything."""
    sizes = (len(arrays.clip) + len(arrays.prompt), len(arrays.target), len(pairs.train), len(pairs.valid))
    return View(*(jnp.ones(size, bool) for size in sizes))
