"""`tunejury evaluate cmi`: CMI-RewardBench, run or judged."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tunejury_jax.evaluation.printing import show, show_counts
from tunejury_jax.extras import import_extra, require_licences

__all__ = ["EvaluateCmi"]


@dataclass(frozen=True)
class EvaluateCmi:
    """CMI-RewardBench: metrics of saved predictions, or run it with a checkpoint and then judge that run."""

    out: Path
    """Folder for metrics.json, metrics.csv and metrics.md; of a run also results.jsonl."""
    results: Path | None = None
    """Saved predictions (results.jsonl); without it the benchmark is run."""
    checkpoint: Path | None = None
    """For a run: the checkpoint folder."""
    rival: str | None = None
    """For a run: a published scorer instead, as `tunejury evaluate rivals` names them."""
    data: Path | None = None
    """For a run: the benchmark's all_test.jsonl."""
    audio: Path | None = None
    """For a run: folder that its audio paths are relative to; that of the data by default."""
    prompt_protocol: Literal["with", "empty"] = "with"
    """For a run: judge musicality with the clip's prompt, or under an empty one."""

    def run(self) -> int:
        from tunejury_jax.evaluation.cmi_results import read_results
        from tunejury_jax.evaluation.cmi_table import comparison, write_report

        failed = self._predict() if self.results is None else self._require_no_run()
        results = read_results(self.results or self.out / "results.jsonl")
        document = write_report(results, "ours", self.out)
        header, *rows = comparison(document["summary"], "ours")
        show("CMI-RewardBench, musicality", header, rows)
        show_counts(document["counts"])
        print(f"Written: {self.out / 'metrics.json'}, .csv, .md")
        return int(failed)

    def _require_no_run(self) -> bool:
        given = {"checkpoint": self.checkpoint, "rival": self.rival, "data": self.data, "audio": self.audio}
        if useless := [name for name, value in given.items() if value is not None]:
            raise ValueError(f"{useless[0]}: got {given[useless[0]]}, which is for a run; --results are predictions")
        return False

    def _predict(self) -> bool:
        """Runs the benchmark; returns whether a clip has no score."""
        from tunejury_jax.evaluation.cmi_results import read_rows
        from tunejury_jax.evaluation.cmi_run import run_benchmark

        if self.data is None or (self.checkpoint is None) == (self.rival is None):
            raise ValueError("results: give --results, or for a run --data and one of --checkpoint and --rival")
        score, settings = self._scorer()
        self.out.mkdir(parents=True, exist_ok=True)
        counts = run_benchmark(
            (row for _, row in read_rows(self.data)),
            self.audio or self.data.parent,
            score,
            self.out / "results.jsonl",
            self.prompt_protocol,
            settings,
        )
        show_counts(counts)
        return bool(counts.get("missing audio") or counts.get("failed clips"))

    def _scorer(self) -> tuple[Callable[[Path, str], float], dict[str, str]]:
        """Scores a file under a prompt; and what must be the same for a run to go on."""
        from tunejury_jax.evaluation.prompted import PromptedScorer
        from tunejury_jax.scorer import Scorer

        if self.rival is not None:
            rival = import_extra("tunejury_jax.applications.rivals", "scoring audio").load_rival(self.rival)
            scoring = import_extra("tunejury_jax.applications.rivals.scoring", "scoring audio")
            return scoring.score_one(rival), {"rival": rival.name}
        assert self.checkpoint is not None
        scorer = Scorer.from_checkpoint(self.checkpoint)
        require_licences(scorer.checkpoint.encoders)
        return PromptedScorer(scorer), {"checkpoint": scorer.checkpoint.sha256}
