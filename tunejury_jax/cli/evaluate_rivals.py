"""`tunejury evaluate rivals`: several scorers on the same clips, in one table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tunejury_jax.evaluation.printing import show, with_interval
from tunejury_jax.extras import import_extra, require_licences

if TYPE_CHECKING:
    from tunejury_jax.score_files import AudioFile

__all__ = ["EvaluateRivals"]

PURPOSE = "scoring audio"
COEFFICIENTS = ("srcc", "lcc", "ktau", "pairwise_accuracy")


@dataclass(frozen=True)
class EvaluateRivals:
    """Published scorers, and ours, on the same clips: a column each, and with ratings how well each fits them."""

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Audio files, folders, patterns or manifests, as for `tunejury score`; without any, the scorers are listed."""
    rivals: tuple[str, ...] = ()
    """Scorers: a name, or name=FOLDER for one that is read from a clone of its repository."""
    checkpoint: Path | None = None
    """Our head, as a further scorer."""
    prompt: str = ""
    """What the clips were made for; a manifest may have one a clip."""
    ratings: Path | None = None
    """Table (csv) with columns clip (an id) and rating."""
    device: str = "cpu"
    """Where the rivals' networks run: cpu, cuda or cuda:1."""
    out: Path | None = None
    """Folder for scores.csv, and with ratings rivals.json; a run that was killed goes on where it was."""

    def run(self) -> int:
        if not self.inputs:
            return self._list()
        if self.out is None or not (self.rivals or self.checkpoint):
            raise ValueError("out, rivals: name a folder, and at least one of rivals and checkpoint")
        table = import_extra("tunejury_jax.applications.rivals.table", PURPOSE)
        files = self._files()
        self.out.mkdir(parents=True, exist_ok=True)
        columns = {name: self._scored(name, score, settings, files) for name, score, settings in self._scorers()}
        table.write_table(self.out / "scores.csv", files, columns)
        if self.ratings:
            self._show(table.judge_columns(files, columns, table.read_ratings(self.ratings)), self.out)
        failed = sum(found.error is not None for column in columns.values() for found in column)
        print(f"Written: {self.out / 'scores.csv'}; {len(files)} clips, {failed} scores failed")
        return int(failed > 0)

    def _list(self) -> int:
        cards = import_extra("tunejury_jax.applications.rivals", PURPOSE).RIVALS
        rows = [(name, card.title, card.licence, card.needs) for name, card in cards.items()]
        show("Rivals", ("name", "scores", "licence", "needs"), rows)
        return 0

    def _files(self) -> "list[AudioFile]":
        from tunejury_jax.score_inputs import find_inputs
        from tunejury_jax.scorer import accepted_audio

        files, _ = find_inputs(self.inputs, accepted_audio())
        if len(files) != len({file.id for file in files}):
            raise ValueError("inputs: two clips have the same id; give ids in a manifest")
        return [file._replace(prompt=self.prompt if file.prompt is None else file.prompt) for file in files]

    def _scorers(self) -> Iterator[tuple[str, Any, dict[str, Any]]]:
        """Name, scorer and what must be the same for a run to go on."""
        if self.checkpoint:
            yield "tunejury", *self._ours(self.checkpoint)
        for asked in self.rivals:
            rival = import_extra("tunejury_jax.applications.rivals", PURPOSE).load_rival(asked, self.device)
            scoring = import_extra("tunejury_jax.applications.rivals.scoring", PURPOSE)
            yield rival.name, scoring.by_rival(rival), {"scorer": rival.name}

    def _ours(self, folder: Path) -> tuple[Any, dict[str, Any]]:
        from tunejury_jax.score_files import score_files
        from tunejury_jax.scorer import Scorer

        scorer = Scorer.from_checkpoint(folder)
        require_licences(scorer.checkpoint.encoders)
        scored = import_extra("tunejury_jax.applications.rivals.scoring", PURPOSE).Scored

        def score(files: "Sequence[AudioFile]") -> Any:
            return (scored(row.reward, row.error) for row in score_files(scorer, files))

        return score, {"scorer": "tunejury", "checkpoint": scorer.checkpoint.sha256}

    def _scored(self, name: str, score: Any, settings: dict[str, Any], files: "Sequence[AudioFile]") -> list[Any]:
        from tunejury_jax.progress import progress

        score_clips = import_extra("tunejury_jax.applications.rivals.scoring", PURPOSE).score_clips
        assert self.out is not None
        with progress(name, len(files), "clips") as advance:
            return score_clips(files, score, self.out / f"{name}.jsonl", settings, lambda: advance(1))

    def _show(self, document: dict[str, Any], out: Path) -> None:
        from tunejury_jax.documents import write_json

        rows = [
            (name, str(found["clips"]), *(with_interval(found[each]) for each in COEFFICIENTS))
            for name, found in document.items()
        ]
        show("Against the ratings", ("scorer", "clips", "SRCC", "LCC", "tau-b", "accuracy over pairs"), rows)
        write_json(out / "rivals.json", document)
