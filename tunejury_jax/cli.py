"""The `tunejury` command."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tunejury_jax.console import command, make_console
from tunejury_jax.extras import import_extra

if TYPE_CHECKING:
    from tunejury_jax.blocks import Layout

__all__ = ["main"]

SIGNAL_PATHS = {
    "upstream": "assumed, the file does not say: audio through 16 kHz, as upstream documents for CLAP; of clips over "
    "10 s the middle, where upstream drew a window at random",
    "native": "assumed, the file does not say: audio straight to the encoders' rates, which published heads were not "
    "trained on; scores will differ from upstream's",
}


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


@dataclass(frozen=True)
class Doctor:
    """Show versions and backends, and what to do about missing parts."""

    def run(self) -> int:
        from rich.table import Table

        from tunejury_jax.doctor import examine

        table = Table("part", "state", "what to do")
        for finding in examine():
            table.add_row(*finding)
        make_console().print(table)
        return 0


@dataclass(frozen=True)
class Convert:
    """Turn a published head (.pt) into a checkpoint folder, or a checkpoint folder into a .pt for upstream's code."""

    source: Annotated[Path, tyro.conf.Positional]
    """A .pt file, or a checkpoint folder."""
    destination: Annotated[Path, tyro.conf.Positional]
    """The checkpoint folder or .pt file to write."""
    blocks: tuple[str, ...] = ()
    """For a .pt: the blocks of its input, where neither a .json beside it nor its width tells."""
    encoders_from: str | None = None
    """For a .pt: a feature store or checkpoint of the encoders that it was trained with."""
    signal_path: Literal["upstream", "native"] | None = None
    """For a .pt, without encoders_from: assume these features. upstream: CLAP through 16 kHz, as published heads were
    trained; native: this project's own signal path."""

    def run(self) -> int:
        # This here, so that --help does not wait for JAX and torch.
        upstream = import_extra("tunejury_jax.bridge.upstream", "converting heads")

        if self.source.is_dir():
            self._to_published(upstream)
        else:
            self._from_published(upstream)
        return 0

    def _to_published(self, upstream: ModuleType) -> None:
        from tunejury_jax.checkpoint import Checkpoint

        given = {"blocks": self.blocks, "encoders_from": self.encoders_from, "signal_path": self.signal_path}
        if useless := [name for name, value in given.items() if value]:
            raise ValueError(f"{useless[0]}: got {given[useless[0]]!r}, which a checkpoint folder says itself")
        if self.destination.suffix != ".pt":
            raise ValueError(f"destination: got {self.destination}, a checkpoint folder is converted to a .pt file")
        upstream.export_head(Checkpoint.load(self.source), self.destination)
        print(f"Written: {self.destination}")

    def _from_published(self, upstream: ModuleType) -> None:
        if self.destination.exists():
            raise ValueError(f"destination: {self.destination} exists already; name a new folder")
        checkpoint = upstream.import_head(self.source, self.blocks, partial(self._encoders, upstream))
        checkpoint.save(self.destination)
        print(f"Features: {self.encoders_from or SIGNAL_PATHS[self.signal_path or 'native']}")
        print(f"Written: {self.destination} ({checkpoint.sha256[:12]}, blocks {', '.join(checkpoint.layout.names)})")

    def _encoders(self, upstream: ModuleType, layout: "Layout") -> Mapping[str, Mapping[str, Any]]:
        from tunejury_jax.provenance import assume

        if self.encoders_from:
            if self.signal_path:
                raise ValueError(f"signal_path: got {self.signal_path!r}, which --encoders-from says itself")
            return upstream.recorded_encoders(self.encoders_from, layout)
        if self.signal_path is None:
            raise ValueError(
                f"signal_path: {self.source} does not say what made the features it was trained on; choose "
                "--signal-path upstream, --signal-path native or --encoders-from STORE_OR_CHECKPOINT (see --help)"
            )
        if self.signal_path == "upstream" and "muq_audio" in layout.names:
            raise ValueError(
                "signal_path: got 'upstream', which fed MuQ-MuLan 16 kHz samples as if they were 24 kHz and encoded "
                "empty prompts; that is not done here, accepted is 'native'"
            )
        audio = import_extra("feature_export.audio", "the signal path")
        return assume(layout, asdict(audio.SignalPath(train16k=self.signal_path == "upstream")))


@dataclass(frozen=True)
class ListEncoders:
    """List the encoders: licence, size, and whether the weights are there."""

    def run(self) -> int:
        import_extra("feature_export.weights.commands", "encoders").show_encoders()
        return 0


@dataclass(frozen=True)
class FetchEncoder:
    """Fetch the weights of an encoder, or check those that are there; an interrupted download continues."""

    name: Annotated[Literal["clap", "mert", "muq"], tyro.conf.Positional]
    """Whose weights."""
    source: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Take the files from this folder instead of the Hugging Face hub: a hub cache, a clone, or our own layout."""
    accept: str | None = None
    """Accept a non-commercial licence in words, where nobody can be asked: "I accept LICENCE for WEIGHTS"."""

    def run(self) -> int:
        import_extra("feature_export.weights.commands", "encoders").fetch_encoder(self.name, self.source, self.accept)
        return 0


@dataclass(frozen=True)
class Encoders:
    """List the encoders, or fetch their weights."""

    action: (
        Annotated[ListEncoders, tyro.conf.subcommand("list")] | Annotated[FetchEncoder, tyro.conf.subcommand("fetch")]
    ) = ListEncoders()

    def run(self) -> int:
        return self.action.run()


Command = (
    Annotated[Score, tyro.conf.subcommand("score")]
    | Annotated[Convert, tyro.conf.subcommand("convert")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    | Annotated[Encoders, tyro.conf.subcommand("encoders")]
)


def run(chosen: Command) -> int:
    """Runs the chosen command; returns its exit status."""
    return chosen.run()


def main() -> None:
    """Entry point of the console script."""
    command("tunejury", Annotated[Command, tyro.conf.OmitSubcommandPrefixes], run)


if __name__ == "__main__":
    main()
