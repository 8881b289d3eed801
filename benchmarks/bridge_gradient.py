"""What crossing from torch into JAX and back costs: the bridge against the same head in pure torch.

    python -m benchmarks.bridge_gradient

The published head (2048 inputs, paper widths, random weights, evaluated) scores a batch, and gives the gradient of the
summed scores with respect to the batch, as an optimisation through a generator asks for. What the bridge takes more
than the head in torch is the crossing. It is set against one forward and backward pass, to the samples of a clip of
10 s, of an encoder of MERT's size with random weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import torch

from benchmarks.measure import Spread, alternate, save
from benchmarks.random_weights import placed_weights
from benchmarks.torch_rivals import PublishedHead
from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax.blocks import Layout
from tunejury_jax.bridge.autograd import checkpoint_reward
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.console import command
from tunejury_jax.head import initialise
from tunejury_jax.head_config import PAPER_WIDTHS, HeadConfig
from tunejury_jax.state_dict import to_state_dict

__all__ = ["Bridge", "main", "measure_bridge"]

BLOCKS = ("clap_audio", "mert", "clap_text")
WORKS = ("forward", "forward_backward")
CLIP_S, RATE_HZ = 10, 24_000


@dataclass(frozen=True)
class Bridge:
    """What to measure."""

    batches: tuple[int, ...] = (1, 8, 32, 512)
    """Rows a call."""
    rounds: int = 51
    """Timed calls of each rival."""
    encoder_rounds: int = 5
    """Timed passes of the encoder."""
    widths: tuple[int, ...] = PAPER_WIDTHS
    """Hidden layers."""
    tiny: bool = False
    """A tiny encoder, for a trial: shares of it mean nothing."""


def main(config: Bridge) -> None:
    """Measures and writes `benchmarks/results/bridge_gradient.json`, or `bridge_gradient_tiny.json`."""
    result = measure_bridge(config)
    path = save("bridge_gradient_tiny" if config.tiny else "bridge_gradient", result)
    for batch, row in result["batches"].items():
        for work in WORKS:
            times = ", ".join(_told(name, row[work][name]) for name in ("torch", "bridge"))
            print(f"{batch:>4} rows, {work:16} {times}: {row[work]['ratio']:.2f} times")
        print(f"{'':>9} the crossing, there and back, is {row['crossing_of_encoder']:.2%} of the encoder's pass")
    print(_told("Encoder, forward and backward:", result["encoder"]))
    print(f"Written: {path}")


def measure_bridge(config: Bridge) -> dict[str, Any]:
    """Milliseconds a call, by rows a call."""
    heads = _heads(config.widths)
    measured = {str(batch): _of_batch(heads, batch, config.rounds) for batch in config.batches}
    encoder = _ms(_encoder(config))
    for row in measured.values():
        times = row["forward_backward"]
        row["crossing_of_encoder"] = (times["bridge"]["median"] - times["torch"]["median"]) / encoder["median"]
    settings = {**vars(config), "torch_threads": torch.get_num_threads()}
    return {"unit": "ms a call", **settings, "encoder": encoder, "batches": measured}


def _encoder(config: Bridge) -> Spread:
    """Seconds of a pass to the embedding of a clip and back to its samples."""
    with placed_weights(config.tiny, ("mert",)):
        stack = load_stack(["mert"], SignalPath())
    samples = torch.randn(1, CLIP_S * RATE_HZ, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def run() -> object:
        (embedding,) = stack.embed_samples(samples, RATE_HZ).values()
        return torch.autograd.grad(embedding.sum(), samples)

    return alternate({"encoder": run}, config.encoder_rounds)["encoder"]


Reward = Callable[[torch.Tensor], torch.Tensor]


def _heads(widths: tuple[int, ...]) -> dict[str, Reward]:
    """The rivals: one head in torch, and through the bridge."""
    layout = Layout.of(BLOCKS)
    shape = HeadConfig(layout.dim, widths)
    checkpoint = Checkpoint(shape, layout, {name: {} for name in BLOCKS}, initialise(shape, jax.random.key(0)))
    return {"torch": _twin(checkpoint), "bridge": checkpoint_reward(checkpoint)}


def _twin(checkpoint: Checkpoint) -> Reward:
    head = PublishedHead(1536, 512, checkpoint.head.widths)
    state = {name: torch.from_numpy(array.copy()) for name, array in to_state_dict(checkpoint.variables).items()}
    head.load_state_dict(state)
    net = head.net.eval().requires_grad_(False)
    return lambda x: net(x)[:, 0]


def _of_batch(heads: dict[str, Reward], batch: int, rounds: int) -> dict[str, Any]:
    x = torch.randn(batch, Layout.of(BLOCKS).dim, generator=torch.Generator().manual_seed(0))
    leaf = x.clone().requires_grad_()
    works = {
        "forward": lambda reward: lambda: reward(x),
        "forward_backward": lambda reward: lambda: torch.autograd.grad(reward(leaf).sum(), leaf),
    }
    rivals = {f"{work} {name}": start(reward) for work, start in works.items() for name, reward in heads.items()}
    spreads = alternate(rivals, rounds, warm_up=5)
    return {work: _row({name: spreads[f"{work} {name}"] for name in heads}) for work in works}


def _row(spreads: dict[str, Spread]) -> dict[str, Any]:
    ratio = spreads["bridge"].median / spreads["torch"].median
    return {**{name: _ms(spread) for name, spread in spreads.items()}, "ratio": ratio}


def _ms(spread: Spread) -> dict[str, float]:
    return {field: value * 1e3 for field, value in zip(spread._fields[:-1], spread[:-1], strict=True)}


def _told(name: str, ms: dict[str, float]) -> str:
    return f"{name} {ms['median']:.2f} ms ({ms['low']:.2f} to {ms['high']:.2f})"


if __name__ == "__main__":
    command("python -m benchmarks.bridge_gradient", Bridge, main)
