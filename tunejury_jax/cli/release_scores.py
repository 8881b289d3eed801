"""`tunejury release-scores`: rewards of a whole collection, as the published tables have them."""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tunejury_jax.console import make_console
from tunejury_jax.extras import require_licences

if TYPE_CHECKING:
    from tunejury_jax.applications.release.collections import Collection, Found
    from tunejury_jax.applications.release.fluidsynth import FluidSynth
    from tunejury_jax.applications.release.scores import Outcome
    from tunejury_jax.applications.release.verify import Comparison
    from tunejury_jax.scorer import Scorer

__all__ = ["ReleaseScores"]

SHOWN = 10

CollectionName = Literal["mtg_jamendo", "fma_large", "mtat", "openmic", "midicaps", "musiccaps", "sdd"]


@dataclass(frozen=True)
class ScoreCollection:
    """Score every track of a collection, whole and without a prompt; the same command continues. Negative is normal."""

    collection: CollectionName
    """Which, by the name of its published table."""
    audio_root: Path
    """Folder with its audio; of midicaps, with its MIDI files."""
    checkpoint: str
    """Checkpoint folder, or owner/name on the Hugging Face hub."""
    out: Path
    """Table (csv) to write, with the columns of the published one."""
    revision: str | None = None
    """Commit of a checkpoint on the hub."""
    tracks: Path | None = None
    """Table (csv) of the tracks to score, such as the published one; its further columns are kept."""
    soundfont: Path | None = None
    """For midicaps: what FluidSynth plays with."""
    shard: str = "0/1"
    """Score every n-th track only, from the i-th: i/n."""
    device: str | None = None
    """Where the encoders run: cpu, cuda or cuda:1; by default a GPU if there is one."""

    def run(self) -> int:
        # These here, so that --help does not wait for JAX and torch.
        from tunejury_jax.applications.release.collections import COLLECTIONS
        from tunejury_jax.applications.release.scores import score_release
        from tunejury_jax.applications.release.table import ReleaseTable
        from tunejury_jax.hub import resolve
        from tunejury_jax.progress import progress
        from tunejury_jax.score_files import score_files
        from tunejury_jax.scorer import Scorer

        collection = COLLECTIONS[self.collection]
        synthesiser = self._synthesiser(collection)
        found = self._find(collection)
        scorer = Scorer.from_checkpoint(resolve(self.checkpoint, self.revision), device=self.device)
        require_licences(scorer.checkpoint.encoders)
        score = partial(score_files, scorer, encoder=scorer.clip_encoder())
        table = ReleaseTable(self.out, collection.columns, self._identity(collection, scorer, synthesiser))
        with progress(f"score {collection.name}", len(found.tracks), "tracks") as advance:
            outcome = score_release(found.tracks, score, table, synthesiser, advance)
        table.conclude(_counts(outcome, found), outcome.failures)
        _report(collection, outcome, found)
        return int(bool(outcome.failures or found.missing))

    def _find(self, collection: "Collection") -> "Found":
        from tunejury_jax.applications.release.collections import find_tracks
        from tunejury_jax.released_scores import read_rows
        from tunejury_jax.scorer import accepted_audio
        from tunejury_jax.shards import parse_shard

        index, count = parse_shard(self.shard)
        listed = read_rows(self.tracks) if self.tracks else None
        return find_tracks(collection, self.audio_root, accepted_audio(), listed).every(count, index)

    def _synthesiser(self, collection: "Collection") -> "FluidSynth | None":
        from tunejury_jax.applications.release.fluidsynth import FluidSynth

        if collection.rendered and self.soundfont is None:
            raise ValueError(f"soundfont: {collection.name} is MIDI, name a soundfont to play it with")
        if self.soundfont and not collection.rendered:
            raise ValueError(f"soundfont: got {self.soundfont}, but {collection.name} is audio; accepted is none")
        return FluidSynth(self.soundfont) if self.soundfont else None

    def _identity(self, collection: "Collection", scorer: "Scorer", synthesiser: "FluidSynth | None") -> dict[str, Any]:
        """What makes the scores, and of which tracks."""
        from tunejury_jax.store.plan import fingerprint

        encoders = {name: fingerprint(provenance) for name, provenance in scorer.stack.provenance().items()}
        return {
            "collection": collection.name,
            "checkpoint": scorer.checkpoint.sha256,
            "encoders": encoders,
            "prompt": "",
            "rendering": synthesiser.identity() if synthesiser else None,
            "shard": self.shard,
        }


@dataclass(frozen=True)
class VerifyScores:
    """Compare two tables of scores; exit status 1 unless they have the same tracks with the same scores."""

    old: Annotated[Path, tyro.conf.Positional]
    """Table (csv), such as the published one."""
    new: Annotated[Path, tyro.conf.Positional]
    """Table (csv) to compare with it."""
    tolerance: float = 1e-4
    """Largest difference of two scores that does not count."""

    def run(self) -> int:
        from tunejury_jax.applications.release.verify import compare
        from tunejury_jax.released_scores import read_scores

        compared = compare(read_scores(self.old), read_scores(self.new), self.tolerance)
        _show(compared)
        return int(not compared.same)


def _unasked() -> ScoreCollection:
    """What is done where no subcommand is named, its options still to be given; `__init__` would check their types."""
    default = object.__new__(ScoreCollection)
    vars(default).update(
        {each.name: tyro.MISSING if each.default is MISSING else each.default for each in fields(default)}
    )
    return default


@dataclass(frozen=True)
class ReleaseScores:
    """Score a whole collection as the published tables have it, or compare two such tables."""

    action: (
        Annotated[ScoreCollection, tyro.conf.subcommand("score")]
        | Annotated[VerifyScores, tyro.conf.subcommand("verify")]
    ) = field(default_factory=_unasked)

    def run(self) -> int:
        return self.action.run()


def _counts(outcome: "Outcome", found: "Found") -> dict[str, int]:
    return {
        "scored": outcome.before + outcome.scored,
        "failed": len(outcome.failures),
        "missing": len(found.missing),
        "passed_over": found.passed_over,
    }


def _report(collection: "Collection", outcome: "Outcome", found: "Found") -> None:
    published = f"{collection.published:,} tracks of {collection.name} are published"
    print(f"{outcome.scored} scored, {outcome.before} were scored before; {published}")
    missing = f"audio of {len(found.missing)} listed tracks is missing"
    print(f"{len(outcome.failures)} failed, {missing}, {found.passed_over} other files passed over")
    _print_some("failed", [f"{key}: {error}" for key, error in outcome.failures.items()])
    _print_some("missing", found.missing)


def _show(compared: "Comparison") -> None:
    from rich.table import Table

    rank = "none, all are alike" if compared.spearman is None else f"{compared.spearman:.6f}"
    table = Table("", "tracks", title=f"new - old, tolerance {compared.tolerance:g}")
    table.add_row("in both", f"{compared.common:,}")
    table.add_row("missing in new", f"{len(compared.missing):,}")
    table.add_row("extra in new", f"{len(compared.extra):,}")
    table.add_row("beyond the tolerance", f"{len(compared.beyond):,}")
    make_console().print(table)
    print(f"|new - old|: mean {compared.mean_abs:.3g}, max {compared.max_abs:.3g}; Spearman {rank}")
    _print_some("missing", compared.missing)
    _print_some("extra", compared.extra)
    _print_some("beyond", [f"{key}: {change:+.6f}" for key, change in compared.beyond.items()])
    print("The same" if compared.same else "Different")


def _print_some(title: str, lines: Sequence[str]) -> None:
    for line in lines[:SHOWN]:
        print(f"{title}: {line}")
    if len(lines) > SHOWN:
        print(f"{title}: and {len(lines) - SHOWN} more")
