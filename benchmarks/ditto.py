r"""What one iteration of DITTO costs: with and without gradient checkpointing and a cropped decoder, and by batch.

    python -m benchmarks.ditto --size published --duration-s 10 --device cuda --bfloat16 --encoders clap mert
    python -m benchmarks.ditto --size published --steps 1 --duration-s 2 --batches 1 \
        --variants checkpointed+cropped cropped

An iteration renders a batch, scores it, and takes the gradient to the noise, as `applications.ditto` does. `kept` is
what is held for the backward pass once the clips are scored, weights not counted; `peak` the most that was held at once
in the iteration: of tensors on a GPU, weights included, else in the process (Linux only), which also counts memory that
its allocator keeps from earlier iterations.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple
from unittest.mock import patch

import jax
import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.measure import alternate, save
from benchmarks.random_generators import make_tiny, make_whole
from benchmarks.random_weights import write_weights
from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from feature_export.encoders.compute import Compute
from tunejury_jax.applications.generators import rectified_flow
from tunejury_jax.applications.generators.denoising import Denoiser
from tunejury_jax.applications.generators.recipes import DiffusionRecipe
from tunejury_jax.bridge.differentiable import DifferentiableScorer
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.console import command
from tunejury_jax.errors import one_of
from tunejury_jax.head import initialise
from tunejury_jax.head_config import PAPER_WIDTHS, HeadConfig

__all__ = ["DittoBenchmark", "main", "measure_ditto"]

PROMPT = "high quality instrumental music, a slow ballad of piano and strings with a soft drum set and an upright bass"
RECIPES = {
    "tangoflux": DiffusionRecipe(steps=8, guidance=1.0),
    "audioldm2-music": DiffusionRecipe(steps=50, guidance=3.5, negative_prompt="Low quality.", sampler="ddim"),
}
"""The paper's; it left AudioLDM 2 out, since 50 steps did not fit its GPU."""


class Variant(NamedTuple):
    checkpointed: bool
    cropped: bool

    def __str__(self) -> str:
        return "+".join(name for name, on in self._asdict().items() if on) or "plain"


BEST = Variant(checkpointed=True, cropped=True)
VARIANTS = {str(each): each for each in (BEST, Variant(True, False), Variant(False, True), Variant(False, False))}
"""The smallest first: memory that was used before would count for the peak of those after it."""


@dataclass(frozen=True)
class DittoBenchmark:
    """What to measure."""

    backbones: tuple[str, ...] = tuple(RECIPES)
    """tangoflux (8 steps, no guidance), audioldm2-music (50 steps, guidance 3.5)."""
    size: Literal["tiny", "published"] = "tiny"
    """Of generators and encoders; what tiny ones need means nothing."""
    encoders: tuple[str, ...] = ("mel",)
    """Of the reward: clap and mert for the published one; mel costs next to nothing."""
    device: str = "cpu"
    """Of everything."""
    bfloat16: bool = False
    """The generator's matrix products in bfloat16."""
    steps: int | None = None
    """Of the samplers, instead of the paper's."""
    duration_s: float = 1.0
    """Of the clips; 10 in the paper, at most 1.99 with tiny generators."""
    batches: tuple[int, ...] = (1, 2, 4, 8)
    """Prompts at once; the variants are compared at the first of these."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """What to compare; plain TangoFlux keeps 26 GiB in float32."""
    rounds: int = 3
    """Timed iterations of each."""

    def __post_init__(self) -> None:
        for field, accepted in (("backbones", RECIPES), ("variants", VARIANTS)):
            for name in getattr(self, field):
                one_of(field, name, tuple(accepted))


def main(config: DittoBenchmark) -> None:
    """Measures and writes `benchmarks/results/ditto.json`, or `ditto_tiny.json`."""
    document = measure_ditto(config)
    path = save("ditto" if config.size == "published" else "ditto_tiny", document)
    for name, found in document["measured"].items():
        for what, row in (found["variants"] | found["batches"]).items():
            print(f"{name}, {what}: {_told(row)}")
    print(f"Written: {path}")


def measure_ditto(config: DittoBenchmark) -> dict[str, Any]:
    """Bytes and seconds of an iteration, by backbone; of each the variants, and the best of them by batch."""
    with TemporaryDirectory() as folder, _weights(Path(folder), config):
        reward = _reward(config)
        measured = {name: _of_backbone(config, name, reward) for name in config.backbones}
    units = {"kept_bytes": "bytes", "peak_bytes": "bytes", "seconds": "s an iteration"}
    device = torch.cuda.get_device_name() if config.device.startswith("cuda") else "cpu"
    settings = {**vars(config), "device_name": device, "torch_threads": torch.get_num_threads()}
    return {"units": units, "settings": settings, "measured": measured}


@dataclass(frozen=True)
class _Iteration:
    """One iteration, ready to run."""

    generator: Denoiser
    reward: DifferentiableScorer
    duration_s: float
    batch: int
    variant: Variant

    def run(self) -> None:
        with self._patched():
            noise, rewards = self.score()
            (gradient,) = torch.autograd.grad(rewards.sum(), noise)
            float(gradient.sum())  # waits for a GPU

    def score(self) -> tuple[Tensor, Float[Tensor, " batch"]]:
        prompts = [PROMPT] * self.batch
        noise = self.generator.initial_noise(range(self.batch), self._rendered_s()).requires_grad_()
        waves = self.generator.render(noise, prompts, self._rendered_s())
        kept = waves[..., : self.generator.samples(self.duration_s)]
        return noise, self.reward(kept.mean(1), self.generator.sample_rate_hz, prompts)

    def kept_bytes(self) -> int:
        saved = _Saved(self.generator.network)
        with self._patched(), torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda tensor: tensor):
            held = self.score()
            del held
        return saved.bytes

    def _rendered_s(self) -> float:
        return self.duration_s if self.variant.cropped else self.generator.longest_s

    @contextmanager
    def _patched(self) -> Iterator[None]:
        if self.variant.checkpointed:
            yield
        else:
            with patch.object(rectified_flow, "checkpoint", _plain):
                yield


class _Saved:
    """Counts the storages of tensors saved for the backward pass; they live until then, so none is counted twice."""

    def __init__(self, network: nn.Module) -> None:
        self._seen = {tensor.untyped_storage().data_ptr() for tensor in network.parameters()}
        self.bytes = 0

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor


def _of_backbone(config: DittoBenchmark, name: str, reward: DifferentiableScorer) -> dict[str, Any]:
    recipe = replace(RECIPES[name], steps=config.steps or RECIPES[name].steps)
    make = make_tiny if config.size == "tiny" else make_whole
    generator = make(name, recipe, Compute(config.device, config.bfloat16))
    first = _Iteration(generator, reward, config.duration_s, config.batches[0], BEST)
    # Where noise is as long as its clip, a clip is never longer than it has to be.
    cuts = generator.latent_shape(config.duration_s) == generator.latent_shape(generator.longest_s)
    chosen = {name: each for name, each in VARIANTS.items() if name in config.variants and (cuts or each.cropped)}
    variants = {name: replace(first, variant=each) for name, each in chosen.items()}
    batches = {f"batch {batch}": replace(first, batch=batch) for batch in config.batches}
    return {"steps": recipe.steps, "variants": _measured(config, variants), "batches": _measured(config, batches)}


def _measured(config: DittoBenchmark, iterations: dict[str, _Iteration]) -> dict[str, Any]:
    rows = {name: _memory(each, config.device) for name, each in iterations.items()}
    spreads = alternate({name: iterations[name].run for name, row in rows.items() if row}, config.rounds, warm_up=0)
    return {name: row and {**row, "seconds": spreads[name]._asdict()} for name, row in rows.items()}


def _memory(iteration: _Iteration, device: str) -> dict[str, int | None] | None:
    """None where it does not fit the GPU."""
    try:
        return {"kept_bytes": iteration.kept_bytes(), "peak_bytes": _peak(iteration.run, device)}
    except torch.OutOfMemoryError:
        pass
    torch.cuda.empty_cache()
    return None


def _peak(work: Callable[[], object], device: str) -> int | None:
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    Path("/proc/self/clear_refs").write_text("5")  # the peak of the process is counted from now on
    work()
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def _plain(run: Callable[..., Tensor], *arguments: Tensor, **options: Any) -> Tensor:
    return run(*arguments)


def _reward(config: DittoBenchmark) -> DifferentiableScorer:
    stack = load_stack(config.encoders, SignalPath(), Compute(config.device))
    shape = HeadConfig(stack.layout.dim, PAPER_WIDTHS)
    encoders = {name: stack.provenance()[name] for name in stack.layout.names}
    checkpoint = Checkpoint(shape, stack.layout, encoders, initialise(shape, jax.random.key(0)))
    return DifferentiableScorer(checkpoint, stack, recompute=True)


@contextmanager
def _weights(folder: Path, config: DittoBenchmark) -> Iterator[None]:
    families = [name for name in config.encoders if name != "mel"]
    write_weights(folder, config.size == "tiny", families)
    with patch.dict(os.environ, {"TUNEJURY_WEIGHTS": str(folder)}):
        yield


def _told(row: dict[str, Any] | None) -> str:
    if row is None:
        return "does not fit"
    peak = "unknown" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**30:.2f} GiB"
    seconds = row["seconds"]
    time = f"{seconds['median']:.2f} s ({seconds['low']:.2f} to {seconds['high']:.2f})"
    return f"kept {row['kept_bytes'] / 2**30:.3f} GiB, peak {peak}, {time}"


if __name__ == "__main__":
    command("python -m benchmarks.ditto", DittoBenchmark, main)
