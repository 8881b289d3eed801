"""`tunejury expert-iteration`: a generator learns from its own best clips, and what that costs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tunejury_jax.cli.generator_options import GeneratorOptions
from tunejury_jax.extras import import_extra, require_licences
from tunejury_jax.selection import Embedding, require_reference
from tunejury_jax.workers import worker_count

if TYPE_CHECKING:
    from tunejury_jax.applications.clip_sets import ClipSets
    from tunejury_jax.applications.expert_iteration.rounds import Expert, Judged, Plan
    from tunejury_jax.applications.expert_iteration.trainer import Trainer
    from tunejury_jax.applications.side_metrics import SideMetrics
    from tunejury_jax.scorer import Scorer

__all__ = ["ExpertIteration"]

PURPOSE = "expert iteration"


@dataclass(frozen=True)
class ExpertIteration:
    """Fine-tune a generator on the best of its own clips; a run that was killed goes on where it was.

    Writes the weights, held-out clips before and after, their rewards, side metrics, the frontier, a page to listen to.
    """

    prompts: Path
    """Prompts: .json or .jsonl with prompt_id and prompt, or .txt with one a line."""
    checkpoint: str
    """Checkpoint folder, or owner/name on the Hugging Face hub."""
    generator: str
    """What learns; tunejury generators lists those that can be fine-tuned."""
    out: Path
    """Folder to write."""
    learning_rates: tuple[float, ...] = (1e-6, 5e-6, 1e-5)
    """Each is a branch of its own."""
    rounds: int = 1
    """How often clips are made, selected and learnt."""
    candidates: int = 9
    """Clips of each prompt and round."""
    keep: float = 0.1
    """Share of all candidates that is learnt: those with the highest rewards."""
    threshold: float | None = None
    """Learn from every candidate with at least this reward instead."""
    selection: Literal["reward", "chance"] = "reward"
    """chance selects as many at random: the control."""
    restart: bool = False
    """Every round fine-tunes the published weights, not those of the round before (ReST-EM)."""
    iterations: int = 5000
    """Of fine-tuning, each round."""
    batch_size: int = 16
    """Clips an iteration; fewer are heard at once where they do not fit the memory."""
    average: float = 0.999
    """Share of the averaged weights, which are what is kept, that stays at each iteration."""
    seed: int = 0
    """Of fine-tuning, and of chance."""
    first_seed: int = 42
    """Candidate c of the first round is generated with this seed + c; further rounds and held-out clips with later
    ones."""
    prefix: str = "high quality instrumental music, "
    """Put before every prompt that is generated from and learnt; "" for nothing. Scores are without prompts."""
    duration_s: float = 10.0
    """Length of the clips in seconds."""
    batch: int = 8
    """Clips generated at once; halved where they do not fit the memory."""
    recipe: str = "own"
    """How the generator samples: one of its recipes."""
    options: Annotated[GeneratorOptions, tyro.conf.arg(name="")] = field(default_factory=GeneratorOptions)
    conservative: float = 0.0
    """For an ensemble: take this many standard deviations over its members off their mean score."""
    reference: str | None = None
    """Real music to compare the held-out clips with (FAD and MAD): a folder, or a feature store."""
    embedding: Embedding | None = None
    """Take FAD, MAD and MPCD from this embedding; by default FAD from clap and the others from mert, as published. Only
    mel needs no weights."""
    cache: Path | None = None
    """Folder of embeddings: what is in it is not encoded again; the default is OUT/embeddings."""
    workers: int | None = None
    """Processes that decode and resample ahead; 0 works in one process, the default is one a core."""

    def run(self) -> int:
        # These here, so that --help does not wait for JAX and torch; the first says what to install without torch.
        import_extra("tunejury_jax.applications.expert_iteration.rounds", PURPOSE)
        from tunejury_jax.applications.expert_iteration.report import compared_clips, write_report
        from tunejury_jax.applications.expert_iteration.rounds import Expert
        from tunejury_jax.applications.prompts import read_prompts
        from tunejury_jax.applications.side_metrics import side_metrics

        prompts, plan = read_prompts(self.prompts), self._plan()
        require_reference(self.reference)
        scorer, trainer = self._scorer(), self._trainer()
        expert = Expert(trainer, scorer, prompts, plan, self.out, self._encoder(scorer))
        judged = self._judged(expert)
        metrics = side_metrics(compared_clips(judged), self._sets, self.prompts, self.reference, self.embedding)
        facts = {"waiting": expert.waiting, "embeddings": metrics.embeddings, "not_computed": metrics.not_computed}
        rows = write_report(judged, metrics.by_name, self.out, facts)
        _show(rows, metrics, expert)
        print(f"Written: {self.out}; negative rewards are normal; listen: {self.out / 'listening.html'}")
        return int(bool(expert.failed or expert.waiting))

    def _judged(self, expert: "Expert") -> "list[Judged]":
        import torch

        try:
            return list(expert.run(self.learning_rates))
        except torch.OutOfMemoryError as error:
            raise ValueError("memory: a single clip does not fit; try --bfloat16 or a shorter --duration-s") from error

    def _plan(self) -> "Plan":
        from tunejury_jax.applications.expert_iteration.fine_tuning import FineTuning
        from tunejury_jax.applications.expert_iteration.rounds import Plan
        from tunejury_jax.applications.expert_iteration.selection import Selection

        tuning = FineTuning(
            iterations=self.iterations, batch_size=self.batch_size, average=self.average, seed=self.seed
        )
        return Plan(
            rounds=self.rounds,
            candidates=self.candidates,
            selection=Selection(self.keep, self.threshold, self.selection, self.seed),
            restart=self.restart,
            tuning=tuning,
            first_seed=self.first_seed,
            duration_s=self.duration_s,
            prefix=self.prefix,
            batch=self.batch,
        )

    def _scorer(self) -> "Scorer":
        from tunejury_jax.scorer import Scorer

        scorer = Scorer.from_pretrained(self.checkpoint, conservative=self.conservative)
        require_licences(scorer.checkpoint.encoders)
        return scorer

    def _trainer(self) -> "Trainer":
        trainer = import_extra("tunejury_jax.applications.expert_iteration.trainer", PURPOSE, "export,generate")
        return trainer.load_trainer(self.generator, self.recipe, **self.options.arguments(PURPOSE))

    def _encoder(self, scorer: "Scorer") -> Any:
        limits = import_extra("feature_export.export", PURPOSE).Limits(self._workers)
        return scorer.clip_encoder(limits, self._cache)

    def _sets(self, embedding: Embedding) -> "ClipSets":
        from tunejury_jax.applications.clip_sets import ClipSets

        return ClipSets(embedding, self._cache, self.options.device, self._workers)

    @property
    def _cache(self) -> Path:
        return self.cache or self.out / "embeddings"

    @property
    def _workers(self) -> int:
        return worker_count(self.workers)


def _show(rows: list[dict[str, Any]], metrics: "SideMetrics", expert: "Expert") -> None:
    from tunejury_jax.evaluation.printing import show

    header = ("branch", "round", "reward (95 %)", "gain", "improved")
    show(f"Held-out clips, {rows[0]['clips']} prompts", header, [_rewards(row) for row in rows])
    if names := tuple(metrics.by_name):
        title = "The same, and the change against the published weights"
        show(title, ("branch", "round", *names), [_costs(row, names) for row in rows])
    for line in metrics.gaps():
        print(line)
    if expert.failed:
        path, reason = next(iter(expert.failed.items()))
        print(f"{len(expert.failed)} clips failed and are not selected, such as {path}: {reason}")
    for branch, make in expert.waiting.items():
        print(f"{branch} waits for weights; make them, then give this command again: {make}")


def _rewards(row: dict[str, Any]) -> tuple[str, ...]:
    from tunejury_jax.evaluation.printing import with_interval

    names = ("reward", "gain", "improved")
    return row["branch"], str(row["round"]), *(with_interval(row[name]) if row.get(name) else "" for name in names)


def _costs(row: dict[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    changes = [f" ({row[f'{name}_change']:+.4f})" if row["round"] else "" for name in names]
    values = [f"{row[name]['value']:.4f}" for name in names]
    return row["branch"], str(row["round"]), *map("".join, zip(values, changes, strict=True))
