"""Several processes that train one sweep together: the first leads, the others run the same heads with it.

Each holds its share of the lanes of a population; only the first asks the search and writes the run folder.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from trainers.config import HostsConfig
from trainers.recipe import DataConfig, Recipe, TrainConfig

__all__ = ["agree", "join", "leads"]


def join(hosts: HostsConfig) -> None:
    """Joins the other processes, if there are any; must come before anything else is done with JAX."""
    if hosts.coordinator == "auto":
        jax.distributed.initialize()
    elif hosts.coordinator:
        jax.distributed.initialize(hosts.coordinator, hosts.count, hosts.index)


def leads() -> bool:
    """Whether this is the first process, or the only one."""
    return jax.process_index() == 0


def agree(recipes: Mapping[int, Recipe]) -> dict[int, Recipe]:
    """What the first process says is trained next, in all of them.

    Args:
        recipes: By number; what the other processes pass is not used.
    """
    if jax.process_count() == 1:
        return dict(recipes)
    said = json.dumps({number: asdict(recipe) for number, recipe in recipes.items()}).encode() if leads() else b""
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(said))))
    heard = multihost_utils.broadcast_one_to_all(np.frombuffer(said.ljust(length), np.uint8)[:length])
    return {int(number): _recipe(found) for number, found in json.loads(np.asarray(heard).tobytes()).items()}


def _recipe(found: Mapping[str, Any]) -> Recipe:
    return Recipe(TrainConfig(**_with_tuples(found["train"])), DataConfig(**_with_tuples(found["data"])))


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
