"""`tunejury score`: rewards of audio files."""

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tunejury_jax.console import make_console
from tunejury_jax.extras import import_extra, require_licences
from tunejury_jax.workers import worker_count

if TYPE_CHECKING:
    from tunejury_jax.score_files import AudioFile, ScoreRow
    from tunejury_jax.score_out import ScoreFile
    from tunejury_jax.score_table import ScoreTable
    from tunejury_jax.scorer import Scorer

__all__ = ["Score"]

PURPOSE = "scoring audio"


@dataclass(frozen=True)
class Score:
    """Score audio files. A score has no unit and no zero: compare scores of one checkpoint, negative is normal."""

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Audio files, folders, patterns ("music/**/*.mp3"), manifests (.jsonl with path, and where wanted prompt, start_s,
    end_s, id), or - for a list of these on standard input."""
    checkpoint: str
    """Checkpoint folder, or owner/name on the Hugging Face hub."""
    revision: str | None = None
    """Commit of a checkpoint on the hub."""
    prompt: str = ""
    """What the clips were made for; empty for none. A manifest may have one a clip."""
    prompt_protocol: Literal["with", "empty", "both"] = "with"
    """Score each clip with its prompt, without any, or once each: its audio is encoded once."""
    out: Path | None = None
    """Write rows here instead of a table, .csv or .jsonl; a run that was killed goes on where it was."""
    conservative: float = 0.0
    """For an ensemble: take this many standard deviations over its members off their mean score."""
    percentiles: Path | None = None
    """Table of released scores (tunejury percentiles build): also say where a reward stands among them."""
    cache: Path | None = None
    """Folder of embeddings: what is in it is not encoded again, for this head or another one."""
    shard: str = "0/1"
    """Score every n-th file only, from the i-th: i/n."""
    fail_fast: bool = False
    """End with the first file that cannot be scored."""
    device: str | None = None
    """Where the encoders run: cpu, cuda or cuda:1; by default a GPU if there is one."""
    workers: int | None = None
    """Processes that decode and resample ahead; 0 works in one process, the default is one a core."""
    memory_mib: int = 2048
    """Audio held in memory: decoded ahead, and waiting for a batch to fill."""
    batch_seconds: float | None = None
    """Audio that a network hears at once, by default 20 on a CPU and 60 on a GPU; what does not fit is halved."""

    def run(self) -> int:
        # These here, so that --help does not wait for JAX and torch.
        from tunejury_jax.score_files import PROTOCOLS, score_rest
        from tunejury_jax.score_inputs import find_inputs
        from tunejury_jax.score_table import ScoreTable
        from tunejury_jax.scorer import accepted_audio
        from tunejury_jax.shards import parse_shard

        index, count = parse_shard(self.shard)
        found, passed_over = find_inputs(self.inputs, accepted_audio())
        files, scorer = found[index::count], self._scorer()
        encoder = scorer.clip_encoder(self._limits(), self.cache)
        with self._sink(scorer, files) as sink:
            protocols = PROTOCOLS[self.prompt_protocol]
            rows = score_rest(scorer, files, sink.present, self.prompt, protocols, encoder)
            scored, failed = self._fill(sink, rows)
        if isinstance(sink, ScoreTable):
            make_console().print(sink.table)
        if sink.present:
            print(f"{sink.present} rows were in {self.out} before")
        if encoder.halved:
            print(f"{encoder.halved} batches did not fit the memory and were halved: try a smaller --batch-seconds")
        if self.out:
            print(f"Written: {self.out}; negative rewards are normal")
        print(f"{scored} scored, {failed} failed, {passed_over} other files in folders passed over")
        return int(failed > 0)

    def _scorer(self) -> "Scorer":
        from tunejury_jax.hub import resolve
        from tunejury_jax.percentiles import Percentiles
        from tunejury_jax.scorer import Scorer

        folder = resolve(self.checkpoint, self.revision)
        scorer = Scorer.from_checkpoint(folder, conservative=self.conservative, device=self.device)
        require_licences(scorer.checkpoint.encoders)
        return scorer.with_percentiles(Percentiles.load(self.percentiles)) if self.percentiles else scorer

    def _limits(self) -> Any:
        workers = worker_count(self.workers)
        limits = import_extra("feature_export.export", PURPOSE).Limits
        return limits(workers, self.memory_mib << 20, self.batch_seconds)

    def _sink(self, scorer: "Scorer", files: Sequence["AudioFile"]) -> "ScoreFile | ScoreTable":
        from tunejury_jax.score_files import PROTOCOLS, planned_rows
        from tunejury_jax.score_out import ScoreFile
        from tunejury_jax.score_table import ScoreTable

        protocols = PROTOCOLS[self.prompt_protocol]
        if self.out:
            return ScoreFile(self.out, planned_rows(scorer, files, self.prompt, protocols))
        return ScoreTable(scorer, f"{self.checkpoint}, prompt {self.prompt!r}", len(protocols) > 1)

    def _fill(self, sink: "ScoreFile | ScoreTable", rows: Generator["ScoreRow", None, None]) -> tuple[int, int]:
        """Takes the rows; returns how many have a reward and how many an error."""
        counts = Counter[bool]()
        with closing(rows):
            for row in rows:
                sink.append(row)
                counts[row.error is not None] += 1
                if self.fail_fast and row.error is not None:
                    print(f"Stopped at {row.path}: {row.error}")
                    break
        return counts[False], counts[True]
