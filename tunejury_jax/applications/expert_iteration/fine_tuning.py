r"""Fine-tuning a backbone on clips, and the average of its weights over the way.

AdamW on the backbone's own loss, $\theta_{i+1} = \theta_i - \mathrm{AdamW}(\nabla L)$, and beside it
$\bar\theta_{i+1} = d\,\bar\theta_i + (1 - d)\,\theta_{i+1}$, which is what is kept. Every iteration draws its clips,
times and noise by its own number, so a run that was killed goes on to the same weights.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int, Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tunejury_jax.applications.generators import TrainableGenerator
from tunejury_jax.documents import fill_whole, write_whole
from tunejury_jax.progress import progress
from tunejury_jax.store.plan import difference, fingerprint

__all__ = ["STATE", "FineTuning", "fine_tune", "save_tensors"]

STATE, LOSSES = "training.safetensors", "losses.csv"
MOMENTS = ("exp_avg", "exp_avg_sq")
GROUPS = ("weight", "average", *MOMENTS)


@dataclass(frozen=True)
class FineTuning:
    """How; the defaults are those of the published runs, or of the trainer that they used.

    Attributes:
        learning_rate: Of AdamW, constant.
        iterations: Steps of AdamW.
        batch_size: Clips a step; fewer are heard at once where they do not fit the memory, and count together.
        average: d, the share of the average that stays at each step.
        weight_decay: Of AdamW.
        clip_norm: Longer gradients are shortened to this norm.
        save_every: Iterations from one save to the next.
        seed: Of all draws.

    Raises:
        ValueError: A number is out of its range.
    """

    learning_rate: float = 1e-5
    iterations: int = 5000
    batch_size: int = 16
    average: float = 0.999
    weight_decay: float = 1e-6
    clip_norm: float = 1.0
    save_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("iterations", "batch_size", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, accepted are 1 and more")
        for name in ("learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: got {getattr(self, name)}, accepted are numbers above 0")
        if not 0 <= self.average < 1:
            raise ValueError(f"average: got {self.average}, accepted are 0 to less than 1")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay: got {self.weight_decay}, accepted are 0 and more")


def fine_tune(
    generator: TrainableGenerator,
    examples: Shaped[Tensor, "clips *example"],
    prompts: Sequence[str],
    how: FineTuning,
    folder: Path,
) -> dict[str, Tensor]:
    """Trains on clips, and leaves the backbone as it was: the averaged weights are returned.

    Args:
        generator: The backbone.
        examples: From its `encode`.
        prompts: Of the clips, one each.
        how: The settings.
        folder: Holds the state, from which a call that was killed goes on, and `losses.csv`.

    Returns:
        The averaged weights by the names of the backbone's `trained`, on the CPU.

    Raises:
        ValueError: There is no clip, prompts are missing, the folder's state is of other clips or settings, or the loss
            is not finite.
        torch.OutOfMemoryError: A single clip does not fit.
    """
    if not len(examples) or len(prompts) != len(examples):
        raise ValueError(f"examples: got {len(examples)} clips and {len(prompts)} prompts, expected some, one each")
    folder.mkdir(parents=True, exist_ok=True)
    before = {name: value.detach().cpu().clone() for name, value in generator.trained.state_dict().items()}
    try:
        training = _Training(generator, examples, prompts, how, folder)
        with torch.random.fork_rng(devices=[]), progress("fine-tune", how.iterations, "iterations") as advance:
            advance(training.iteration)
            for done in training.run():
                advance(done)
        return training.average
    finally:
        generator.trained.requires_grad_(False).eval()
        generator.trained.load_state_dict(before)


class _Training:
    """The state of a run.

    Attributes:
        iteration: How many are done.
        average: Averaged weights, on the CPU once it has run.
    """

    def __init__(
        self,
        generator: TrainableGenerator,
        examples: Shaped[Tensor, "clips *example"],
        prompts: Sequence[str],
        how: FineTuning,
        folder: Path,
    ) -> None:
        self._generator, self._examples, self._prompts, self._how = generator, examples, prompts, how
        self._folder, self._at_once = folder, how.batch_size
        self._network = generator.trained.train().requires_grad_(True)
        self._optimiser = torch.optim.AdamW(
            self._network.parameters(), how.learning_rate, weight_decay=how.weight_decay
        )
        self.average = {name: value.detach().clone() for name, value in self._network.state_dict().items()}
        self._facts = _facts(generator, examples, prompts, how)
        self.iteration = self._resume()

    def run(self) -> Iterator[int]:
        """Trains to the end; yields how many iterations were done since the last time."""
        losses: list[float] = []
        while self.iteration < self._how.iterations:
            losses.append(self._step())
            self.iteration += 1
            if self.iteration % self._how.save_every == 0 or self.iteration == self._how.iterations:
                self._save(sum(losses) / len(losses))
                losses = []
            yield 1
        self.average = {name: value.cpu() for name, value in self.average.items()}

    def _step(self) -> float:
        draws = torch.Generator().manual_seed(self._how.seed + (self.iteration << 32))
        rows = torch.randperm(len(self._examples), generator=draws)[: self._how.batch_size]
        loss = self._backward(rows, draws)
        if not math.isfinite(loss):
            raise ValueError(f"learning_rate: the loss is {loss} at iteration {self.iteration}; try a smaller one")
        nn.utils.clip_grad_norm_(self._network.parameters(), self._how.clip_norm)
        self._optimiser.step()
        self._follow()
        return loss

    def _backward(self, rows: Int[Tensor, " batch"], draws: torch.Generator) -> float:
        """Gradients of a batch, from as many clips at once as fit the memory."""
        while True:
            try:
                return self._accumulate(rows, draws)
            except torch.OutOfMemoryError:
                if self._at_once == 1:
                    raise
            # Beyond the except: there the error's traceback would keep the tensors of the failed call alive.
            self._at_once //= 2
            torch.cuda.empty_cache()

    def _accumulate(self, rows: Int[Tensor, " batch"], draws: torch.Generator) -> float:
        self._optimiser.zero_grad()
        total = 0.0
        for part in rows.split(self._at_once):
            torch.manual_seed(int(torch.randint(1 << 62, (), generator=draws)))  # dropout has no generator of its own
            prompts = [self._prompts[int(row)] for row in part]
            loss = self._generator.loss(self._examples[part], prompts, draws)
            share = loss * (len(part) / len(rows))
            share.backward()
            total += float(share.detach())
        return total

    @torch.no_grad()
    def _follow(self) -> None:
        for name, value in self._network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - self._how.average)
            else:
                self.average[name].copy_(value)

    def _moments(self) -> dict[str, dict[str, Tensor]]:
        state = self._optimiser.state
        moved = {name: state[each] for name, each in self._network.named_parameters() if each in state}
        return {part: {name: moments[part] for name, moments in moved.items()} for part in MOMENTS}

    def _save(self, loss: float) -> None:
        groups = {"weight": self._network.state_dict(), "average": self.average, **self._moments()}
        tensors = {f"{group}.{name}": value for group in GROUPS for name, value in groups[group].items()}
        lines = ["iteration,loss", *self._lines(), f"{self.iteration},{loss!r}"]
        write_whole(self._folder / LOSSES, "\n".join(lines) + "\n")
        metadata = {"iteration": str(self.iteration), "facts": json.dumps(self._facts)}
        save_tensors(self._folder / STATE, tensors, metadata)

    def _lines(self) -> list[str]:
        """What is known of the losses before this iteration."""
        path = self._folder / LOSSES
        known = path.read_text().splitlines()[1:] if path.exists() else []
        return [line for line in known if int(line.partition(",")[0]) < self.iteration]

    def _resume(self) -> int:
        path = self._folder / STATE
        if not path.exists():
            return 0
        try:
            with safe_open(path, "pt") as file:
                metadata: Mapping[str, str] = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
            facts, iteration = json.loads(metadata["facts"]), int(metadata["iteration"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: is damaged, delete it to begin again: {error}") from error
        if lines := difference(facts, self._facts):
            raise ValueError(f"{path}: is of another fine-tuning ({'; '.join(lines)}); name a new folder")
        self._put(tensors, iteration)
        return iteration

    def _put(self, tensors: Mapping[str, Tensor], iteration: int) -> None:
        groups: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
        for name, value in tensors.items():
            group, _, own = name.partition(".")
            groups[group][own] = value
        self._network.load_state_dict(groups["weight"])
        for name, value in groups["average"].items():
            self.average[name].copy_(value)
        named = dict(self._network.named_parameters())
        for name in groups[MOMENTS[0]]:
            moments = {part: groups[part][name].to(named[name]) for part in MOMENTS}
            self._optimiser.state[named[name]] = {"step": torch.tensor(float(iteration)), **moments}


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Writes a safetensors file that is there as a whole or not at all."""
    # Copies, since weights that share memory, as tied ones do, cannot be written.
    copied = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
    fill_whole(path, lambda partial: save_file(copied, partial, dict(metadata or {})))


def _facts(
    generator: TrainableGenerator,
    examples: Shaped[Tensor, "clips *example"],
    prompts: Sequence[str],
    how: FineTuning,
) -> dict[str, Any]:
    """What must be the same for a run to go on."""
    return {
        "generator": dict(generator.provenance()),
        "settings": asdict(how),
        "prompts": fingerprint({"prompts": list(prompts)}),
        "examples": list(examples.shape),
    }
