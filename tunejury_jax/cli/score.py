"""`tunejury score`: rewards of audio files."""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tunejury_jax.console import make_console
from tunejury_jax.extras import import_extra

__all__ = ["Score"]


@dataclass(frozen=True)
class Score:
    """Score audio files. A score has no unit and no zero: compare scores of one checkpoint, negative is normal."""

    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Audio files, and folders to search for them."""
    checkpoint: Path
    """Checkpoint folder."""
    prompt: str = ""
    """What the clips were made for; empty for none."""
    jsonl: Path | None = None
    """Also write one JSON row an input here."""
    conservative: float = 0.0
    """For an ensemble: take this many standard deviations over its members off their mean score."""

    def run(self) -> int:
        # These here, so that --help does not wait for JAX and torch.
        from tunejury_jax.progress import progress
        from tunejury_jax.score_files import find_audio, score_files
        from tunejury_jax.score_table import ScoreTable
        from tunejury_jax.scorer import Scorer, accepted_audio

        if not self.inputs:
            raise ValueError("inputs: expected at least one file or folder")
        files, passed_over = find_audio(self.inputs, accepted_audio())
        scorer = Scorer.from_checkpoint(self.checkpoint, conservative=self.conservative)
        import_extra("feature_export.weights.licences", "scoring audio").require_accepted(scorer.checkpoint.encoders)
        table = ScoreTable(scorer, f"{self.checkpoint}, prompt {self.prompt!r}")
        failed = 0
        rows_out = self.jsonl.open("w", encoding="utf-8") if self.jsonl else nullcontext()
        with rows_out as out, progress("score", len(files), "files") as advance:
            for row in score_files(scorer, files, self.prompt):
                failed += row.error is not None
                table.add(row)
                advance(1)
                if out:
                    out.write(json.dumps(row.to_json()) + "\n")
                    out.flush()
        make_console().print(table.table)
        print(f"{len(files) - failed} scored, {failed} failed, {passed_over} other files in folders passed over")
        return int(failed > 0)
