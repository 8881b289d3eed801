"""Expert iteration: generate, score, keep the best, learn from them, judge; round after round.

The folder of a run, `BRANCH` being a learning rate:

    plan.json                     what must be the same for the run to go on
    candidates/, candidates.csv   of the published weights: the first round's, shared by all branches
    published/                    held-out clips of the published weights, and their rewards
    BRANCH/round-R/               candidates (from round 2 on), selected.csv, training, tuned.safetensors,
                                  held-out clips and their rewards

Every stage finds what it has done, so a run that was killed goes on. Held-out clips are made with seeds that no
candidate has. All rewards are without a prompt, as published.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from tunejury_jax.applications.candidates import Scored, generate_candidates, list_candidates, score_candidates
from tunejury_jax.applications.expert_iteration.fine_tuning import FineTuning
from tunejury_jax.applications.expert_iteration.selection import Selection
from tunejury_jax.applications.expert_iteration.trainer import Trainer
from tunejury_jax.applications.generators import Generator
from tunejury_jax.applications.prompts import PREFIX, Prompt
from tunejury_jax.applications.row_tables import as_csv
from tunejury_jax.documents import as_json, read_object, write_json, write_whole
from tunejury_jax.scorer import Scorer
from tunejury_jax.store.plan import difference

__all__ = ["PUBLISHED", "Expert", "Judged", "Plan"]

PUBLISHED = "published"
MAX_PLAN_BYTES = 64 << 20


@dataclass(frozen=True)
class Plan:
    """What is done.

    Attributes:
        rounds: Each learns from candidates of the weights before it.
        candidates: Of each prompt and round.
        selection: Which are learnt from.
        restart: Every round fine-tunes the published weights, on its own candidates (ReST-EM), not those before it.
        tuning: How; its learning rate is that of the branch.
        first_seed: Of the first candidate of the first round.
        duration_s: Of every clip, in seconds.
        prefix: Put before every prompt that is generated from and learnt.
        batch: Clips generated at once.

    Raises:
        ValueError: A number is out of its range.
    """

    rounds: int = 1
    candidates: int = 9
    selection: Selection = field(default_factory=Selection)
    restart: bool = False
    tuning: FineTuning = field(default_factory=FineTuning)
    first_seed: int = 42
    duration_s: float = 10.0
    prefix: str = PREFIX
    batch: int = 8

    def __post_init__(self) -> None:
        for name in ("rounds", "candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, accepted are 1 and more")

    @property
    def held_out_seed(self) -> int:
        """The first that no round uses."""
        return self.first_seed + self.rounds * self.candidates


class Judged(NamedTuple):
    """Held-out clips, one a prompt, of the published weights or of a branch after a round."""

    branch: str
    round: int
    clips: list[Scored]


class Expert:
    """A run.

    Attributes:
        failed: Clips without a reward -> why.
        waiting: Branches whose weights are to be made elsewhere -> the command that does.

    Args:
        trainer: Has the backbone.
        scorer: Scores candidates and held-out clips.
        prompts: What clips are to be.
        plan: What is done.
        out: The run's folder.
        encoder: From `Scorer.clip_encoder`; by default one without a cache.

    Raises:
        ValueError: The folder is of another run; says how they differ.
    """

    def __init__(
        self, trainer: Trainer, scorer: Scorer, prompts: Sequence[Prompt], plan: Plan, out: Path, encoder: Any = None
    ) -> None:
        self._trainer, self._scorer, self._prompts = trainer, scorer, list(prompts)
        self._plan, self._out, self._encoder = plan, out, encoder
        self.failed: dict[Path, str] = {}
        self.waiting: dict[str, str] = {}
        self._claim()

    def run(self, learning_rates: Sequence[float]) -> Iterator[Judged]:
        """Judges the published weights, then each branch after each round, as soon as it is done; one whose
        weights are to be made elsewhere ends there."""
        branches = {f"lr-{rate}": replace(self._plan.tuning, learning_rate=rate) for rate in learning_rates}
        yield Judged(PUBLISHED, 0, self._held_out(None, self._out / PUBLISHED))
        for name, tuning in branches.items():
            yield from self._branch(name, tuning)

    def _branch(self, name: str, tuning: FineTuning) -> Iterator[Judged]:
        before: Path | None = None
        for number in range(1, self._plan.rounds + 1):
            folder = self._out / name / f"round-{number}"
            selected = [each.candidate for each in self._selected(before, folder, number)]
            clips = [candidate.path for candidate in selected]
            prompts = [self._plan.prefix + candidate.prompt.text for candidate in selected]
            start = None if self._plan.restart else before
            if command := self._trainer.learn(clips, prompts, start, folder, tuning):
                self.waiting[name] = command
                return
            yield Judged(name, number, self._held_out(folder, folder))
            before = folder

    def _selected(self, weights: Path | None, folder: Path, number: int) -> list[Scored]:
        """Those candidates of a folder's weights that are learnt from."""
        home = self._out if number == 1 else folder
        first_seed = self._plan.first_seed + (number - 1) * self._plan.candidates
        scored = self._scored(weights, home / "candidates", self._plan.candidates, first_seed)
        selected = self._plan.selection.of(scored)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "selected.csv", as_csv(map(_row, selected)))
        return selected

    def _held_out(self, weights: Path | None, folder: Path) -> list[Scored]:
        return self._scored(weights, folder / "clips", 1, self._plan.held_out_seed)

    def _scored(self, weights: Path | None, folder: Path, count: int, first_seed: int) -> list[Scored]:
        with self._trainer.tuned(weights) as generator:
            self._generate(generator, folder, count, first_seed)
        candidates = list_candidates(folder, self._prompts, count)
        table = folder.with_suffix(".csv")
        scored = score_candidates(self._scorer, candidates, table, protocol="empty", encoder=self._encoder)
        self.failed |= {each.candidate.path: each.error for each in scored if each.error is not None}
        return scored

    def _generate(self, generator: Generator, folder: Path, count: int, first_seed: int) -> None:
        options = {"duration_s": self._plan.duration_s, "prefix": self._plan.prefix, "batch": self._plan.batch}
        generate_candidates(generator, self._prompts, folder, count, first_seed=first_seed, **options)

    def _claim(self) -> None:
        """Records what the run is; learning rates may be added later."""
        with self._trainer.tuned(None) as generator:
            made_by = dict(generator.provenance())
        plan = asdict(self._plan)
        del plan["batch"], plan["tuning"]["learning_rate"]
        ours = {
            **plan,
            "generator": made_by,
            "checkpoint": self._scorer.checkpoint.sha256,
            "conservative": float(self._scorer.conservative),
            "prompts": [[prompt.id, prompt.text] for prompt in self._prompts],
        }
        path = self._out / "plan.json"
        self._out.mkdir(parents=True, exist_ok=True)
        if path.exists() and (lines := difference(read_object(path, MAX_PLAN_BYTES), as_json(ours))):
            raise ValueError(f"out: {self._out} is of another run ({'; '.join(lines[:5])}); name a new folder")
        write_json(path, ours)


def _row(scored: Scored) -> dict[str, Any]:
    candidate = scored.candidate
    return {"clip": candidate.id, "path": candidate.path, "prompt": candidate.prompt.text, "reward": scored.reward}
