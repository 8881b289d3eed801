"""`tunejury best-of-n`: the best of the first N clips of each prompt, and what selecting costs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tunejury_jax.cli.generator_options import GeneratorOptions
from tunejury_jax.extras import import_extra, require_licences
from tunejury_jax.selection import Embedding, require_reference
from tunejury_jax.workers import worker_count

if TYPE_CHECKING:
    from tunejury_jax.applications.best_of_n.over_optimisation import OverOptimisation
    from tunejury_jax.applications.best_of_n.selection import BestOfN
    from tunejury_jax.applications.clip_sets import ClipSets
    from tunejury_jax.applications.prompts import Prompt
    from tunejury_jax.applications.side_metrics import SideMetrics
    from tunejury_jax.scorer import Scorer

__all__ = ["BestOfNCommand"]

PURPOSE = "best of N"
SHOWN = 10


@dataclass(frozen=True)
class BestOfNCommand:
    """Keep the best of the first N clips of each prompt, for every N; a run that was killed goes on where it was.

    Writes scores, the clips that are kept, the curve over N as table and picture, and a page to listen to all of them.
    """

    prompts: Path
    """Prompts: .json or .jsonl with prompt_id and prompt, or .txt with one a line."""
    checkpoint: str
    """Checkpoint folder, or owner/name on the Hugging Face hub."""
    out: Path
    """Folder to write."""
    generator: str | None = None
    """Makes the candidates that are not there yet; tunejury generators lists them."""
    candidates: Path | None = None
    """Folder of candidates {prompt_id}_c{c}.wav, c = 0, 1, ...; the default is OUT/candidates."""
    n: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    """Values of N; the largest one is the number of candidates a prompt."""
    prefix: str = "high quality instrumental music, "
    """Put before every prompt, for generation and for scoring; "" for nothing."""
    first_seed: int = 42
    """Candidate c is generated with this seed + c."""
    duration_s: float = 10.0
    """Length of generated clips in seconds."""
    batch: int = 8
    """Clips generated at once; halved where they do not fit the memory."""
    recipe: str = "own"
    """How the generator samples: one of its recipes."""
    options: Annotated[GeneratorOptions, tyro.conf.arg(name="")] = field(default_factory=GeneratorOptions)
    conservative: float = 0.0
    """For an ensemble: take this many standard deviations over its members off their mean score."""
    judge: str | None = None
    """Another checkpoint, which judges what this one selects: adds the report on over-optimisation."""
    reference: str | None = None
    """Real music to compare the selected clips with (FAD and MAD): a folder, or a feature store."""
    embedding: Embedding | None = None
    """Take FAD, MAD and MPCD from this embedding; by default FAD from clap and the others from mert, as published. Only
    mel needs no weights."""
    cache: Path | None = None
    """Folder of embeddings: what is in it is not encoded again, for this head, the judge or another run; the default is
    OUT/embeddings."""
    workers: int | None = None
    """Processes that decode and resample ahead; 0 works in one process, the default is one a core."""

    def run(self) -> int:
        # These here, so that --help does not wait for JAX and torch; the first says what to install without torch.
        import_extra("tunejury_jax.applications.candidates", PURPOSE)
        from tunejury_jax.applications.best_of_n.report import write_report
        from tunejury_jax.applications.best_of_n.selection import BestOfN, check_sizes
        from tunejury_jax.applications.candidates import generator_of, list_candidates, score_candidates
        from tunejury_jax.applications.prompts import read_prompts
        from tunejury_jax.applications.side_metrics import side_metrics

        prompts, sizes = read_prompts(self.prompts), check_sizes(self.n)
        require_reference(self.reference)
        scorer, judge = self._scorers()
        folder = self._folder(prompts, sizes[-1])
        candidates, encoder = list_candidates(folder, prompts, sizes[-1]), self._encoder(scorer)
        scored = score_candidates(scorer, candidates, self.out / "scores.csv", prefix=self.prefix, encoder=encoder)
        found = BestOfN.of(prompts, scored, sizes)
        facts = {
            "checkpoint": scorer.checkpoint.sha256,
            "conservative": self.conservative,
            "prefix": self.prefix,
            "generator": generator_of(folder),
        }
        if judge:
            self._judge(judge, found, facts)
        kept = [[best.candidate.path for best in of_size] for of_size in found.kept()]
        metrics = side_metrics(kept, self._sets, self.prompts, self.reference, self.embedding)
        _show(found, write_report(found, self.out, metrics, facts), metrics)
        print(f"Written: {self.out}; negative rewards are normal; listen: {self.out / 'listening.html'}")
        return int(bool(found.failed))

    def _scorers(self) -> "tuple[Scorer, Scorer | None]":
        """The head that selects, and the one that judges."""
        from tunejury_jax.scorer import Scorer

        scorer = Scorer.from_pretrained(self.checkpoint, conservative=self.conservative)
        judge = Scorer.from_pretrained(self.judge) if self.judge else None
        for each in filter(None, (scorer, judge)):
            require_licences(each.checkpoint.encoders)
        if judge and judge.checkpoint.sha256 == scorer.checkpoint.sha256:
            raise ValueError(f"judge: {self.judge} is the head that selects, expected another one")
        return scorer, judge

    def _folder(self, prompts: "Sequence[Prompt]", most: int) -> Path:
        """Where the candidates are, generated if that was asked for."""
        from tunejury_jax.applications.best_of_n.selection import check_sizes
        from tunejury_jax.applications.candidates import count_candidates

        folder = self.candidates or self.out / "candidates"
        if self.generator:
            self._generate(prompts, folder, most)
        elif not self.candidates:
            raise ValueError("generator, candidates: expected one of them, or both: where the clips come from")
        count, others = count_candidates(folder, prompts)
        check_sizes((most,), count)
        if others:
            print(f"{others} wavs in {folder} are of none of the prompts and passed over")
        return folder

    def _generate(self, prompts: "Sequence[Prompt]", folder: Path, count: int) -> None:
        from tunejury_jax.applications.candidates import generate_candidates

        registry = import_extra("tunejury_jax.applications.generators.registry", PURPOSE)
        generator = registry.load_generator(self.generator, self.recipe, **self.options.arguments(PURPOSE))
        options = {"first_seed": self.first_seed, "duration_s": self.duration_s, "prefix": self.prefix}
        made = generate_candidates(generator, prompts, folder, count, **options, batch=self.batch)
        print(f"{made.made} candidates generated, {made.before} were there before")
        if made.halved:
            print(f"{made.halved} batches did not fit the memory and were halved: try a smaller --batch")

    def _encoder(self, scorer: "Scorer") -> Any:
        """Embeds clips for a head; what one head heard, the side metrics and another head need not hear again."""
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

    def _judge(self, judge: "Scorer", found: "BestOfN", facts: dict[str, Any]) -> None:
        from tunejury_jax.applications.best_of_n.over_optimisation import over_optimisation
        from tunejury_jax.applications.best_of_n.report import write_over_optimisation
        from tunejury_jax.applications.best_of_n.selection import reward_table
        from tunejury_jax.applications.candidates import score_candidates

        candidates = [each.candidate for each in found.scored]
        out, encoder = self.out / "judge_scores.csv", self._encoder(judge)
        judged = score_candidates(judge, candidates, out, prefix=self.prefix, encoder=encoder)
        proxy, seen = (reward_table(scored, len(found.prompts)) for scored in (found.scored, judged))
        report = over_optimisation(proxy, seen, found.selection.sizes[-1])
        write_over_optimisation(report, self.out, {**facts, "judge": judge.checkpoint.sha256})
        _show_over_optimisation(report, found.selection.sizes)


def _show(found: "BestOfN", rows: list[dict[str, Any]], metrics: "SideMetrics") -> None:
    from tunejury_jax.evaluation.printing import show, with_interval

    names = [name for name in rows[0] if name not in ("n", "reward")]
    cells = [
        (str(row["n"]), with_interval(row["reward"]), *(f"{row[name]['value']:.4f}" for name in names)) for row in rows
    ]
    prompts = len(found.prompts) - len(found.left_out)
    show(f"Best of the first N, {prompts} prompts", ("N", "reward (95 %)", *names), cells)
    for line in metrics.gaps():
        print(line)
    print(f"{len(found.scored) - len(found.failed)} candidates scored, {len(found.failed)} missing or failed")
    if found.left_out:
        ids = ", ".join(prompt.id for prompt in found.left_out[:SHOWN])
        print(f"In no mean, without a reward at the smallest N: prompt {ids}; {len(found.left_out)} in all")


def _show_over_optimisation(report: "OverOptimisation", sizes: Sequence[int]) -> None:
    from tunejury_jax.evaluation.printing import show, with_interval

    cells = [
        (str(n), f"{report.kl[n - 1]:.3f}", *(with_interval(e[n - 1].to_json()) for e in (report.proxy, report.judge)))
        for n in sizes
    ]
    header = ("n", "KL", "head that selects", "head that judges")
    show("Gain over n = 1, in standard deviations of all candidates", header, cells)
    print(f"The judge's reward is highest at n = {report.peak}")
    if report.left_out:
        print(f"Left out there, since not all candidates have both rewards: {report.left_out} of the prompts")
