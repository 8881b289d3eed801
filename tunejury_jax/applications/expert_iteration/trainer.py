"""What lets a backbone learn between the rounds of expert iteration, and gives it back with what it has learnt."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import soundfile
import torch

from tunejury_jax.applications.expert_iteration.fine_tuning import STATE, FineTuning, fine_tune, save_tensors
from tunejury_jax.applications.expert_iteration.mean_audio import MeanAudio
from tunejury_jax.applications.generators import Generator, TrainableGenerator, registry
from tunejury_jax.applications.generators.cards import CARDS
from tunejury_jax.errors import one_of

__all__ = ["InProcess", "Trainer", "load_trainer"]

TUNED_FILE = "tuned.safetensors"


@runtime_checkable
class Trainer(Protocol):
    """A backbone whose published weights, and those that it learns, can be generated with."""

    def tuned(self, folder: Path | None) -> AbstractContextManager[Generator]:
        """The backbone with the weights that `learn` left in a folder, which are part of its provenance; without a
        folder with the published ones."""
        ...

    def learn(
        self, clips: Sequence[Path], prompts: Sequence[str], start: Path | None, folder: Path, how: FineTuning
    ) -> str | None:
        """Fine-tunes, unless that was done.

        Args:
            clips: What is learnt.
            prompts: Of the clips, one each.
            start: The folder of the weights to go on from; None for the published ones.
            folder: Where the weights go.
            how: The settings.

        Returns:
            None once the weights are there; otherwise the command that is to be run, elsewhere, to make them.
        """
        ...


def load_trainer(name: str, recipe: str = "own", *, compute: Any = None, **options: Any) -> Trainer:
    """Loads a backbone that can be fine-tuned; its arguments are those of `load_generator`.

    Raises:
        ValueError: It cannot be fine-tuned, or as `load_generator`.
    """
    if file := registry.worker_file(name, recipe, **options):
        return MeanAudio(file)
    trainable = (card.name for card in CARDS.values() if card.trainable)
    one_of("generator to fine-tune", name, (*trainable, f"{registry.WORKER}FILE.json"))
    return InProcess(registry.load_generator(name, recipe, compute=compute, **options))  # type: ignore[arg-type]  # its card says so


@runtime_checkable
class Trainable(TrainableGenerator, Protocol):
    """A backbone of this project, whose `weights` stand in its provenance."""

    weights: dict[str, str]


class InProcess:
    """Fine-tunes a backbone of this project; outside of its methods the backbone is as it was."""

    def __init__(self, generator: Trainable) -> None:
        self._generator = generator

    @contextmanager
    def tuned(self, folder: Path | None) -> Iterator[Generator]:
        """See `Trainer`."""
        if folder is None:
            yield self._generator
            return
        trained, weights = self._generator.trained, self._generator.weights
        before = {name: value.detach().cpu().clone() for name, value in trained.state_dict().items()}
        told = dict(weights)
        try:
            registry.tune(self._generator, folder / TUNED_FILE)
            yield self._generator
        finally:
            trained.load_state_dict(before)
            weights.clear()
            weights.update(told)

    def learn(
        self, clips: Sequence[Path], prompts: Sequence[str], start: Path | None, folder: Path, how: FineTuning
    ) -> str | None:
        """See `Trainer`; `training/` keeps the losses, and what a killed call goes on from."""
        if (folder / TUNED_FILE).exists():
            return None
        examples = torch.cat([self._example(path) for path in clips])
        with self.tuned(start):
            learnt = fine_tune(self._generator, examples, prompts, how, folder / "training")
        save_tensors(folder / TUNED_FILE, learnt)
        (folder / "training" / STATE).unlink()  # four times the size of the weights
        return None

    @torch.no_grad()
    def _example(self, path: Path) -> torch.Tensor:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return self._generator.encode(torch.from_numpy(samples.T)[None], rate).cpu()
