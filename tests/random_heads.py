"""Heads with random arrays, made without training or compiling anything."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tunejury_jax.blocks import Block, Layout
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.state_dict import expected_shapes, from_state_dict

__all__ = ["random_checkpoint", "random_state"]

TOY_BLOCKS = (Block("toy", 8, "clip"), Block("words", 4, "prompt"))


def random_state(config: HeadConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """Float32 arrays of a head under their torch names, no two of them alike, that keep scores near 1."""
    generator = np.random.default_rng(seed)
    state = {name: generator.normal(0, 0.4, shape) for name, shape in expected_shapes(config).items()}
    state |= {name: np.exp(values) for name, values in state.items() if name.endswith("running_var")}
    return {name: values.astype(np.float32) for name, values in state.items()}


def random_checkpoint(
    encoders: Mapping[str, Mapping[str, Any]] | None = None,
    blocks: Sequence[Block | str] = TOY_BLOCKS,
    widths: tuple[int, ...] = (6, 4),
    seed: int = 0,
    **facts: Any,
) -> Checkpoint:
    """A checkpoint of these blocks; by default every block is an encoder of its own name."""
    layout = Layout.of(blocks)
    config = HeadConfig(layout.dim, widths)
    encoders = encoders or {name: {"encoder": name, "revision": "1"} for name in layout.names}
    return Checkpoint(config, layout, encoders, from_state_dict(random_state(config, seed), config), **facts)
