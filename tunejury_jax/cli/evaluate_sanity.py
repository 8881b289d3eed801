"""`tunejury evaluate sanity`: whether scores fall where music gets worse."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunejury_jax.evaluation.printing import show
from tunejury_jax.extras import require_licences

__all__ = ["EvaluateSanity"]


@dataclass(frozen=True)
class EvaluateSanity:
    """Sanity ladders: whether scores fall with noise, clipping, a bad segment and time reversal; what is no music."""

    inputs: tuple[Path, ...]
    """Audio files, and folders to search for them; the best clips at hand."""
    checkpoint: Path
    """Checkpoint folder."""
    out: Path
    """Folder for sanity.json, sanity.png and sanity.pdf."""
    clips: int = 8
    """Take so many, the first by name."""
    seed: int = 0
    """Of the noise."""

    def run(self) -> int:
        from tunejury_jax.documents import write_json
        from tunejury_jax.evaluation.clips import load_clips
        from tunejury_jax.evaluation.sanity import fits, ladders
        from tunejury_jax.evaluation.sanity_plot import save
        from tunejury_jax.scorer import Scorer

        names, clips = load_clips(self.inputs, self.clips)
        scorer = Scorer.from_checkpoint(self.checkpoint)
        require_licences(scorer.checkpoint.encoders)
        document = ladders(clips, lambda samples, rate: scorer.score(samples, rate), self.seed)
        verdicts = fits(document)
        self.out.mkdir(parents=True, exist_ok=True)
        record = {"clips": names, "checkpoint": scorer.checkpoint.sha256, "fits": verdicts, **document}
        write_json(self.out / "sanity.json", record)
        save(document, self.out / "sanity")
        rows = [(ladder, str(rung["level"]), f"{rung['mean']:.4f}") for ladder, rung in self._rungs(document)]
        show(f"{len(clips)} clips", ("ladder", "rung", "mean score"), rows)
        for ladder, fit in verdicts.items():
            print(f"{ladder}: {'as expected' if fit else 'NOT as expected'}")
        print(f"Written: {self.out / 'sanity.json'}, .png, .pdf")
        return 0

    def _rungs(self, document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        return [(ladder, rung) for ladder in ("snr", "clipping", "length") for rung in document[ladder]["rungs"]]
