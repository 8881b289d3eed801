"""`tunejury ditto`: clips of a higher reward, by moving the noise that they are made from."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tunejury_jax.cli.generator_options import GeneratorOptions
from tunejury_jax.extras import import_extra, require_licences
from tunejury_jax.selection import Embedding, require_reference

if TYPE_CHECKING:
    from tunejury_jax.applications.batches import Batches
    from tunejury_jax.applications.clip_sets import ClipSets
    from tunejury_jax.applications.ditto.folder import DittoFolder, Outcome, Start
    from tunejury_jax.applications.ditto.presets import Preset
    from tunejury_jax.applications.ditto.run import Task
    from tunejury_jax.bridge.differentiable import DifferentiableScorer
    from tunejury_jax.scorer import Scorer

__all__ = ["Ditto"]

PURPOSE = "noise optimisation"


@dataclass(frozen=True)
class Ditto:
    """Optimise the noise of a frozen generator until its clips earn more; a run that was killed goes on where it was.

    Writes every clip before and after, the reward of every iterate, tables, and a page to listen to.
    """

    prompts: Path
    """Prompts: .json or .jsonl with prompt_id and prompt, or .txt with one a line."""
    checkpoint: str
    """Checkpoint folder, or owner/name on the Hugging Face hub."""
    out: Path
    """Folder to write."""
    preset: str = "own"
    """paper-sao-small or paper-tangoflux, which bring their generator; or own: any generator by its own recipe."""
    generator: str | None = None
    """Makes the clips; tunejury generators lists those that are differentiable."""
    limit: int | None = None
    """Only the first so many prompts."""
    updates: int = 5
    """Steps of Adam."""
    learning_rate: float = 0.05
    """Of Adam."""
    norm_weight: float = 0.0
    """Weight of a penalty that keeps the noise as long as noise is; 0.01 is usual."""
    patience: int | None = None
    """End after so many updates in a row without a better reward."""
    conservative: float = 0.0
    """For an ensemble: take this many standard deviations over its members off their mean score."""
    recompute: bool = False
    """Run the encoders again in the backward pass: memory of one clip at a time, half as much time again."""
    prefix: str = "high quality instrumental music, "
    """Put before every prompt, for generation and for scoring; "" for nothing."""
    duration_s: float = 10.0
    """Length of the clips in seconds."""
    batch: int = 1
    """Prompts optimised at once; halved where they do not fit the memory."""
    options: Annotated[GeneratorOptions, tyro.conf.arg(name="")] = field(default_factory=GeneratorOptions)
    reference: str | None = None
    """Real music to compare the clips with (MAD): a folder, or a feature store."""
    embedding: Embedding = "mert"
    """Take MAD from this embedding; mert as published. Only mel needs no weights."""
    cache: Path | None = None
    """Folder of embeddings: what is in it is not encoded again; the default is OUT/embeddings."""

    def run(self) -> int:
        # These here, so that --help does not wait for JAX and torch; the first says what to install without torch.
        import_extra("tunejury_jax.applications.ditto.run", PURPOSE)
        from tunejury_jax.applications.batches import Batches
        from tunejury_jax.applications.ditto.folder import DittoFolder
        from tunejury_jax.applications.ditto.metrics import metric_changes
        from tunejury_jax.applications.ditto.peak_memory import peak_memory
        from tunejury_jax.applications.ditto.presets import choose_preset
        from tunejury_jax.applications.ditto.report import summarise, write_report

        preset, batches = choose_preset(self.preset, self.generator), Batches(self.batch)
        require_reference(self.reference)
        starts, task = self._starts(preset), self._task(preset)
        folder = DittoFolder(self.out, task.identity())
        outcomes = self._outcomes(task, starts, folder, batches)
        peak, summary = peak_memory(), summarise(outcomes)
        summary |= {"peak_memory_bytes": peak.bytes, "preset": self.preset, "task": task.identity()}
        summary["published"] = asdict(preset.published) if preset.published else None
        folder.list_clips(outcomes)
        if summary["n"]:
            summary |= metric_changes(folder, self._sets, self.reference, self.embedding)
        write_report(outcomes, folder, summary)
        _show(summary)
        if batches.halved:
            print(f"{batches.halved} batches did not fit the memory and were halved: try a smaller --batch")
        print(f"Weights of the generator unchanged, bit by bit; peak memory {peak}")
        print(f"Written: {self.out}; listen: {folder.page}")
        return int(bool(summary["failed"]))

    def _outcomes(
        self, task: "Task", starts: "list[Start]", folder: "DittoFolder", batches: "Batches"
    ) -> "list[Outcome]":
        import torch

        from tunejury_jax.applications.ditto.run import run_ditto

        try:
            return run_ditto(task, starts, folder, batches)
        except torch.OutOfMemoryError as error:
            advice = "try --recompute, --bfloat16 or a shorter --duration-s"
            raise ValueError(f"memory: a single prompt does not fit; {advice}") from error

    def _sets(self, embedding: Embedding) -> "ClipSets":
        from tunejury_jax.applications.clip_sets import ClipSets

        return ClipSets(embedding, self.cache or self.out / "embeddings", self.options.device)

    def _starts(self, preset: "Preset") -> "list[Start]":
        from tunejury_jax.applications.ditto.folder import Start
        from tunejury_jax.applications.prompts import read_prompts

        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit: got {self.limit}, expected at least 1")
        chosen = read_prompts(self.prompts)[: self.limit]
        return [Start(prompt, preset.seed + preset.stride * number) for number, prompt in enumerate(chosen)]

    def _task(self, preset: "Preset") -> "Task":
        from tunejury_jax.applications.ditto.optimisation import Ascent, require_differentiable
        from tunejury_jax.applications.ditto.run import Task

        ascent = Ascent(self.updates, self.learning_rate, self.norm_weight, self.patience)
        options = self.options.arguments(PURPOSE)
        reward, scorer = self._scorers(options["compute"].device)
        registry = import_extra("tunejury_jax.applications.generators.registry", PURPOSE, "generate")
        generator = registry.load_generator(preset.generator, preset.recipe, **options)
        return Task(require_differentiable(generator), reward, scorer, ascent, self.duration_s, self.prefix)

    def _scorers(self, device: str) -> "tuple[DifferentiableScorer, Scorer]":
        """What is optimised, and what the clips are scored by afterwards; they share their encoders."""
        from tunejury_jax.bridge.differentiable import DifferentiableScorer
        from tunejury_jax.checkpoint import Checkpoint
        from tunejury_jax.hub import resolve
        from tunejury_jax.scorer import Scorer

        checkpoint = Checkpoint.load(resolve(self.checkpoint))
        require_licences(checkpoint.encoders)
        stack = import_extra("feature_export.encoders", PURPOSE).stack_from_provenance(checkpoint.encoders, device)
        reward = DifferentiableScorer(checkpoint, stack, self.conservative, recompute=self.recompute)
        return reward, Scorer(checkpoint, stack, self.conservative)


def _show(summary: dict[str, Any]) -> None:
    """Prints the numbers, and each prompt that needs to be looked at."""
    from tunejury_jax.evaluation.printing import show, with_interval

    if summary["n"]:
        reward = ("reward", *(with_interval(summary[name]) for name in ("before", "after", "gain")))
        title = f"Mean over {summary['n']} prompts; negative is normal"
        show(title, ("", "before", "after", "change"), [reward, *map(_cells, summary["metrics"].items())])
        print(f"Improved: {with_interval(summary['improved'])}")
    if published := summary["published"]:
        rewards = f"{published['before']:+.3f} to {published['after']:+.3f}"
        print(f"Published: {rewards}, {published['improved']} of {published['n']} improved")
    for name, reason in summary.get("not_computed", {}).items():
        print(f"{name}: not computed: {reason}")
    for prompt_id, deviation in summary.get("disagreeing", {}).items():
        print(f"{prompt_id}: the clip's reward is {deviation:.2g} away from the one that was optimised")
    for prompt_id, error in summary["failed"].items():
        print(f"{prompt_id}: failed: {error}")
    print(f"{summary['n']} optimised, {len(summary['failed'])} failed")


def _cells(metric: tuple[str, dict[str, Any]]) -> tuple[str, ...]:
    from tunejury_jax.evaluation.printing import with_interval

    name, found = metric
    return name, with_interval(found["before"]), with_interval(found["after"]), f"{found['change']:+.4f}"
