"""What crossing from torch into JAX and back costs: the bridge against the same head in pure torch.

    python -m benchmarks.bridge_gradient

The published head (2048 inputs, paper widths, random weights, evaluated) scores a batch, and gives the gradient of the
summed scores with respect to the batch, as an optimisation through a generator asks for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import torch

from benchmarks.measure import Spread, alternate, save
from benchmarks.torch_rivals import PublishedHead
from tunejury_jax.blocks import Layout
from tunejury_jax.bridge.autograd import checkpoint_reward
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.console import command
from tunejury_jax.head import initialise
from tunejury_jax.head_config import PAPER_WIDTHS, HeadConfig
from tunejury_jax.state_dict import to_state_dict

__all__ = ["Bridge", "main", "measure_bridge"]

BLOCKS = ("clap_audio", "mert", "clap_text")


@dataclass(frozen=True)
class Bridge:
    """What to measure."""

    batches: tuple[int, ...] = (1, 8, 64, 512)
    """Rows a call."""
    rounds: int = 51
    """Timed calls of each rival."""
    widths: tuple[int, ...] = PAPER_WIDTHS
    """Hidden layers."""


def main(config: Bridge) -> None:
    """Measures and writes `benchmarks/results/bridge_gradient.json`."""
    result = measure_bridge(config)
    path = save("bridge_gradient", result)
    for batch, row in result["batches"].items():
        for work in ("forward", "forward_backward"):
            times = ", ".join(_told(name, row[work][name]) for name in ("torch", "bridge"))
            print(f"{batch:>4} rows, {work:16} {times}: {row[work]['ratio']:.2f} times")
    print(f"Written: {path}")


def measure_bridge(config: Bridge) -> dict[str, Any]:
    """Milliseconds a call, by rows a call."""
    shape = HeadConfig(Layout.of(BLOCKS).dim, config.widths)
    checkpoint = Checkpoint(
        shape, Layout.of(BLOCKS), {name: {} for name in BLOCKS}, initialise(shape, jax.random.key(0))
    )
    heads = {"torch": _twin(checkpoint), "bridge": checkpoint_reward(checkpoint)}
    measured = {str(batch): _of_batch(heads, batch, shape.input_dim, config.rounds) for batch in config.batches}
    threads = torch.get_num_threads()
    return {"unit": "ms a call", "widths": list(config.widths), "torch_threads": threads, "batches": measured}


Reward = Callable[[torch.Tensor], torch.Tensor]


def _twin(checkpoint: Checkpoint) -> Reward:
    head = PublishedHead(1536, 512, checkpoint.head.widths)
    state = {name: torch.from_numpy(array.copy()) for name, array in to_state_dict(checkpoint.variables).items()}
    head.load_state_dict(state)
    net = head.net.eval().requires_grad_(False)
    return lambda x: net(x)[:, 0]


def _of_batch(heads: dict[str, Reward], batch: int, dim: int, rounds: int) -> dict[str, Any]:
    x = torch.randn(batch, dim, generator=torch.Generator().manual_seed(0))
    leaf = x.clone().requires_grad_()
    works = {
        "forward": lambda reward: lambda: reward(x),
        "forward_backward": lambda reward: lambda: torch.autograd.grad(reward(leaf).sum(), leaf),
    }
    rivals = {f"{work} {name}": start(reward) for work, start in works.items() for name, reward in heads.items()}
    spreads = alternate(rivals, rounds, warm_up=5)
    return {work: _row({name: spreads[f"{work} {name}"] for name in heads}) for work in works}


def _row(spreads: dict[str, Spread]) -> dict[str, Any]:
    ms = {
        name: {field: value * 1e3 for field, value in zip(s._fields[:-1], s[:-1], strict=True)}
        for name, s in spreads.items()
    }
    return {**ms, "ratio": spreads["bridge"].median / spreads["torch"].median}


def _told(name: str, ms: dict[str, float]) -> str:
    return f"{name} {ms['median']:.2f} ms ({ms['low']:.2f} to {ms['high']:.2f})"


if __name__ == "__main__":
    command("python -m benchmarks.bridge_gradient", Bridge, main)
