"""DITTO over many prompts: batch by batch into a folder, scored as the files that it leaves there."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tunejury_jax.applications.batches import Batches
from tunejury_jax.applications.candidates import write_wave
from tunejury_jax.applications.ditto.folder import SIDES, DittoFolder, Outcome, Start
from tunejury_jax.applications.ditto.network_digest import digest
from tunejury_jax.applications.ditto.optimisation import Ascent, Climb, Reward, climb
from tunejury_jax.applications.generators import DifferentiableGenerator
from tunejury_jax.applications.prompts import PREFIX
from tunejury_jax.progress import progress
from tunejury_jax.scorer import Scorer
from tunejury_jax.store.plan import fingerprint

__all__ = ["Task", "run_ditto"]

Wave = Float[Tensor, "channels samples"]


@dataclass(frozen=True)
class Task:
    """What is done to every prompt.

    Attributes:
        generator: Makes the clips; frozen.
        reward: What is optimised: `bridge.differentiable.DifferentiableScorer` of the scorer's checkpoint and encoders.
        scorer: What the clips are scored by afterwards, with the same `conservative`.
        ascent: How noise is moved.
        duration_s: Of every clip, in seconds.
        prefix: Put before every prompt, for generation and for scoring.
    """

    generator: DifferentiableGenerator
    reward: Reward
    scorer: Scorer
    ascent: Ascent
    duration_s: float = 10.0
    prefix: str = PREFIX

    def identity(self) -> dict[str, Any]:
        """Everything that makes clips and rewards, besides prompts and seeds."""
        return {
            "generator": self.generator.provenance(),
            "checkpoint": self.scorer.checkpoint.sha256,
            "encoders": {name: fingerprint(made) for name, made in self.scorer.stack.provenance().items()},
            "conservative": self.scorer.conservative,
            "ascent": asdict(self.ascent),
            "duration_s": self.duration_s,
            "prefix": self.prefix,
        }


class _Optimised(NamedTuple):
    climb: Climb
    before: Wave
    after: Wave


def run_ditto(
    task: Task,
    starts: Sequence[Start],
    folder: DittoFolder,
    batches: Batches,
) -> list[Outcome]:
    """Optimises the prompts that a folder has not finished; a run that was killed is continued by the same call.

    Args:
        task: What is done.
        starts: Prompts, each with an id of its own, and seeds.
        folder: Where clips and outcomes go; one with an error is tried again.
        batches: Of prompts that are optimised together.

    Returns:
        One a prompt, in their order.

    Raises:
        ValueError: The folder has another text or seed under the id of a prompt.
        torch.OutOfMemoryError: A single prompt does not fit.
        OSError: A file cannot be written.
        RuntimeError: The weights of the generator changed.
    """
    outcomes = {start.prompt.id: folder.outcome(start) for start in starts}
    todo = [start for start in starts if (found := outcomes[start.prompt.id]) is None or found.error]
    weights = digest(task.generator.network)
    with progress("optimise", len(todo), "prompts") as advance:
        for batch, optimised in batches.run(lambda batch: _optimise(task, batch), todo):
            for start, each in zip(batch, optimised, strict=True):
                outcomes[start.prompt.id] = _concluded(task, start, each, folder)
            advance(len(batch))
    if digest(task.generator.network) != weights:
        raise RuntimeError(f"the weights of {task.generator.name} changed during the run; its clips mean nothing")
    return [outcome for outcome in outcomes.values() if outcome]


def _optimise(task: Task, starts: Sequence[Start]) -> list[_Optimised]:
    prompts, seeds = [task.prefix + start.prompt.text for start in starts], [start.seed for start in starts]
    before = task.generator.generate(prompts, seeds, task.duration_s)
    climbs = climb(task.generator, task.reward, prompts, seeds, task.duration_s, task.ascent)
    with torch.no_grad():
        best = torch.stack([each.best_noise for each in climbs])
        after = task.generator.render(best, prompts, task.duration_s).cpu()
    # The best iterate may be the first; its clip is the one there is.
    clips = zip(climbs, before, after, strict=True)
    return [_Optimised(each, old, new if each.best else old) for each, old, new in clips]


def _concluded(task: Task, start: Start, made: _Optimised, folder: DittoFolder) -> Outcome:
    own, text = start.prompt
    outcome = Outcome(own, text, start.seed, made.climb.rewards, made.climb.norms, made.climb.best)
    told = {"error": made.climb.error} if made.climb.error else _scored(task, start, made, folder)
    outcome = replace(outcome, **told)
    folder.write(outcome)
    return outcome


def _scored(task: Task, start: Start, made: _Optimised, folder: DittoFolder) -> dict[str, Any]:
    """Writes the clips; what the Scorer makes of the files, or why it cannot."""
    paths = {side: folder.clip(side, start.prompt.id) for side in SIDES}
    for side, path in paths.items():
        write_wave(path, getattr(made, side), task.generator.sample_rate_hz)
    prompt = task.prefix + start.prompt.text
    try:
        return {side: task.scorer.score(path, prompt=prompt) for side, path in paths.items()}
    except ValueError as error:
        return {"error": str(error)}
