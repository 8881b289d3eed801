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

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import soundfile
import torch
from safetensors.torch import load_file

from feature_export.weights.digests import sha256_of
from tunejury_jax.applications.best_of_n_table import as_csv
from tunejury_jax.applications.candidates import (
    Candidate,
    Scored,
    generate_candidates,
    list_candidates,
    score_candidates,
)
from tunejury_jax.applications.expert_selection import Selection
from tunejury_jax.applications.fine_tuning import FineTuning, fine_tune, save_tensors
from tunejury_jax.applications.generators import TrainableGenerator
from tunejury_jax.applications.generators.provenance import TUNED
from tunejury_jax.applications.prompts import PREFIX, Prompt
from tunejury_jax.documents import as_json, read_object, write_whole
from tunejury_jax.scorer import Scorer
from tunejury_jax.store.plan import difference

__all__ = ["PUBLISHED", "Expert", "Judged", "Plan"]

PUBLISHED = "published"
TUNED_FILE = "tuned.safetensors"
MAX_PLAN_BYTES = 64 << 20


@runtime_checkable
class Trainable(TrainableGenerator, Protocol):
    """A backbone of this project, whose `weights` stand in its provenance."""

    weights: dict[str, str]


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

    Args:
        generator: The backbone; it is left as it was.
        scorer: Scores candidates and held-out clips.
        prompts: What clips are to be.
        plan: What is done.
        out: The run's folder.
        encoder: From `Scorer.clip_encoder`; by default one without a cache.

    Raises:
        ValueError: The folder is of another run; says how they differ.
    """

    def __init__(
        self,
        generator: Trainable,
        scorer: Scorer,
        prompts: Sequence[Prompt],
        plan: Plan,
        out: Path,
        encoder: Any = None,
    ) -> None:
        self._generator, self._scorer, self._prompts = generator, scorer, list(prompts)
        self._plan, self._out, self._encoder = plan, out, encoder
        self._claim()

    def run(self, learning_rates: Sequence[float]) -> Iterator[Judged]:
        """Judges the published weights, then each branch after each round, as soon as it is done."""
        yield Judged(PUBLISHED, 0, self._held_out(self._out / PUBLISHED))
        for rate in learning_rates:
            yield from self._branch(f"lr-{rate:g}", replace(self._plan.tuning, learning_rate=rate))

    def _branch(self, name: str, tuning: FineTuning) -> Iterator[Judged]:
        before: Path | None = None
        for number in range(1, self._plan.rounds + 1):
            folder = self._out / name / f"round-{number}"
            with self._tuned(before):
                selected = self._selected(folder, number)
                if not self._plan.restart:
                    self._learn(folder, selected, tuning)
            if self._plan.restart:
                self._learn(folder, selected, tuning)
            before = folder / TUNED_FILE
            with self._tuned(before):
                yield Judged(name, number, self._held_out(folder))

    def _selected(self, folder: Path, number: int) -> list[Scored]:
        """Candidates of the weights that the backbone has now, and which of them are learnt from."""
        home = self._out if number == 1 else folder
        first_seed = self._plan.first_seed + (number - 1) * self._plan.candidates
        scored = self._scored(home / "candidates", self._plan.candidates, first_seed)
        selected = self._plan.selection.of(scored)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "selected.csv", as_csv(map(_row, selected)))
        return selected

    def _learn(self, folder: Path, selected: Sequence[Scored], tuning: FineTuning) -> None:
        path = folder / TUNED_FILE
        if path.exists():
            return
        examples = torch.cat([self._example(each.candidate) for each in selected])
        prompts = [self._plan.prefix + each.candidate.prompt.text for each in selected]
        save_tensors(path, fine_tune(self._generator, examples, prompts, tuning, folder / "training"))

    @torch.no_grad()
    def _example(self, candidate: Candidate) -> torch.Tensor:
        samples, rate = soundfile.read(candidate.path, dtype="float32", always_2d=True)
        return self._generator.encode(torch.from_numpy(samples.T)[None], rate).cpu()

    def _held_out(self, folder: Path) -> list[Scored]:
        return self._scored(folder / "clips", 1, self._plan.held_out_seed)

    def _scored(self, folder: Path, count: int, first_seed: int) -> list[Scored]:
        plan = self._plan
        generate_candidates(
            self._generator,
            self._prompts,
            folder,
            count,
            first_seed=first_seed,
            duration_s=plan.duration_s,
            prefix=plan.prefix,
            batch=plan.batch,
        )
        candidates = list_candidates(folder, self._prompts, count)
        table = folder.with_suffix(".csv")
        return score_candidates(self._scorer, candidates, table, protocol="empty", encoder=self._encoder)

    @contextmanager
    def _tuned(self, path: Path | None) -> Iterator[None]:
        """The backbone with fine-tuned weights, which then stand in its provenance; without a path, as it is."""
        if path is None:
            yield
            return
        trained, weights = self._generator.trained, self._generator.weights
        before = {name: value.detach().cpu().clone() for name, value in trained.state_dict().items()}
        told = weights.get(TUNED)
        trained.load_state_dict(load_file(path))
        weights[TUNED] = sha256_of(path)
        try:
            yield
        finally:
            trained.load_state_dict(before)
            weights.pop(TUNED)
            weights.update({TUNED: told} if told else {})

    def _claim(self) -> None:
        """Records what the run is; learning rates may be added later, and rounds that keep the held-out seeds."""
        tuning = {name: value for name, value in asdict(self._plan.tuning).items() if name != "learning_rate"}
        ours = {
            **asdict(self._plan),
            "tuning": tuning,
            "generator": dict(self._generator.provenance()),
            "checkpoint": self._scorer.checkpoint.sha256,
            "conservative": float(self._scorer.conservative),
            "prompts": [[prompt.id, prompt.text] for prompt in self._prompts],
        }
        path = self._out / "plan.json"
        self._out.mkdir(parents=True, exist_ok=True)
        if path.exists() and (lines := difference(read_object(path, MAX_PLAN_BYTES), as_json(ours))):
            raise ValueError(f"out: {self._out} is of another run ({'; '.join(lines[:5])}); name a new folder")
        write_whole(path, json.dumps(ours, indent=1) + "\n")


def _row(scored: Scored) -> dict[str, Any]:
    candidate = scored.candidate
    return {"clip": candidate.id, "path": candidate.path, "prompt": candidate.prompt.text, "reward": scored.reward}
