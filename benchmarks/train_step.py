"""One training step at paper size (2048 inputs, 32 pairs): ours against PyTorch tuned as hard.

    python -m benchmarks.train_step

Every rival trains on data that is resident in memory, gathers its own batches, uses dropout and updates every weight
with AdamW. The floor is the time of the step's matrix products alone plus the optimiser's memory traffic alone,
measured in the same run; no implementation that keeps to float32 and does not overlap the two can be faster.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.measure import paired_ratio, save, spread, time_rounds
from benchmarks.ours import our_epochs
from benchmarks.synthetic import PaperSize, paper_size
from benchmarks.torch_rivals import VARIANTS, TorchData, make_steps
from trainers.view import Pairs
from tunejury_jax.console import command
from tunejury_jax.head_config import PAPER_WIDTHS, HeadConfig

__all__ = ["TrainStep", "main"]

DIM, BATCH = 2048, 32


@dataclass(frozen=True)
class TrainStep:
    """How long to measure."""

    rounds: int = 21
    """Timed rounds; each runs every rival once."""
    steps: int = 100
    """Training steps a round."""
    compiled: bool = True
    """Also torch.compile, which takes about a minute to warm up."""


def main(config: TrainStep) -> None:
    """Measures and writes `benchmarks/results/train_step.json`."""
    data = paper_size()
    rivals: dict[str, Callable[[], object]] = {"ours": _ours(data, config.steps)}
    variants = [name for name in VARIANTS if config.compiled or "compiled" not in name]
    in_torch = _to_torch(data)
    rivals |= {f"torch {name}": make_steps(name, in_torch, BATCH, config.steps) for name in variants}
    rivals |= {"floor: matrix products": _products(config.steps), "floor: optimiser": _optimiser(config.steps)}
    ms = {name: seconds / config.steps * 1e3 for name, seconds in time_rounds(rivals, config.rounds, warm_up=2).items()}
    rows = {name: spread(values)._asdict() for name, values in ms.items()}
    path = save("train_step", {"unit": "ms a step", "steps_a_round": config.steps, "steps": rows, **_ratios(ms)})
    for name, row in rows.items():
        print(f"{name:44s} {row['median']:6.2f} ms ({row['low']:.2f} to {row['high']:.2f}), best {row['best']:.2f}")
    print(f"{_ratios(ms)}\nWritten: {path}")


def _ratios(ms: dict[str, np.ndarray]) -> dict[str, Any]:
    """Against the best of each kind, round by round."""
    torch_names = [name for name in ms if name.startswith("torch")]
    eager = [name for name in torch_names if "compiled" not in name]
    compiled = [name for name in torch_names if "compiled" in name]
    floor = sum(ms[name] for name in ms if name.startswith("floor"))
    ratios: dict[str, Any] = {"fraction_of_floor": float(np.median(floor / ms["ours"]))}
    for kind, names in (("eager", eager), ("compiled", compiled)):
        if names:
            best = min(names, key=lambda name: np.median(ms[name]))
            ratio = paired_ratio(ms[best], ms["ours"])
            ratios |= {f"ratio_vs_torch_{kind}_best": ratio["median"], f"ratio_vs_torch_{kind}_best_quartiles": ratio}
    return ratios


def _ours(data: PaperSize, steps: int) -> Callable[[], object]:
    """Epochs of exactly `steps` steps; the validation set is two pairs, so that only training is timed."""
    pairs = Pairs(data.pairs.train[: steps * BATCH], data.pairs.valid[:2])
    return our_epochs(data.arrays, pairs)


def _to_torch(data: PaperSize) -> TorchData:
    rows = np.asarray(data.pairs.train)
    clip, prompt = (np.concatenate([np.asarray(block) for block in blocks], axis=1) for blocks in data.arrays[:2])
    index, target = (np.asarray(array)[rows] for array in data.arrays[2:])
    tensors = (clip, prompt, index.astype(np.int64), target)
    return TorchData(*(torch.from_numpy(array.copy()) for array in tensors))


def _products(steps: int) -> Callable[[], object]:
    """Forward, input-gradient and weight-gradient products of every layer; the first needs no input gradient."""
    sizes = (DIM, *PAPER_WIDTHS, 1)
    key = jax.random.key(0)
    layers = [
        (jax.random.normal(key, (2 * BATCH, i)), jax.random.normal(key, (i, o)), jax.random.normal(key, (2 * BATCH, o)))
        for i, o in itertools.pairwise(sizes)
    ]

    @jax.jit
    def run(layers: list) -> jax.Array:
        def step(carry: jax.Array, _: None) -> tuple[jax.Array, None]:
            total = carry
            for number, (x, w, g) in enumerate(layers):
                total += ((x + carry) @ w)[0, 0] + (x.T @ (g + carry))[0, 0]
                total += ((g + carry) @ w.T)[0, 0] if number else 0.0
            return total * 1e-9, None

        return jax.lax.scan(step, jnp.zeros(()), None, length=steps)[0]

    return lambda: jax.block_until_ready(run(layers))


def _optimiser(steps: int) -> Callable[[], object]:
    """Reads weights, gradients and both moments, writes weights and moments: AdamW and nothing else."""
    count = HeadConfig(DIM).parameter_count
    arrays = [jnp.full(count, 1e-3) for _ in range(3)]

    @partial(jax.jit, donate_argnums=0)
    def run(arrays: list, gradient: jax.Array) -> list:
        def step(carry: list, _: None) -> tuple[list, None]:
            weight, first, second = carry
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient * gradient
            return [weight * 0.9999999 - 1e-4 * first / (jnp.sqrt(second) + 1e-8), first, second], None

        return jax.lax.scan(step, arrays, None, length=steps)[0]

    state, gradient = [arrays], jnp.full(count, 1e-3)

    def timed() -> None:
        state[0] = jax.block_until_ready(run(state[0], gradient))

    return timed


if __name__ == "__main__":
    command("python -m benchmarks.train_step", TrainStep, main)
