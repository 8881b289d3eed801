"""`tunejury metrics fad | mad | clap-score | mpcd | reference`: what a generator's clips are like."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tunejury_jax.evaluation.printing import finish, show, show_counts, with_interval
from tunejury_jax.selection import Embedding, Selection
from tunejury_jax.workers import worker_count

if TYPE_CHECKING:
    from tunejury_jax.applications.clip_sets import ClipSets
    from tunejury_jax.generation_metrics.embeddings import Embeddings

__all__ = ["Metrics"]

MOST_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Clips, and how they are embedded."""

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Audio: files, folders, patterns ("clips/*.wav"), manifests (.jsonl), or - for a list of these on standard input.
    Or one feature store, or one file (.npz) that tunejury metrics reference wrote."""
    select: Selection = field(default_factory=Selection)
    cache: Path | None = None
    """Folder of embeddings: audio that is in it is not encoded again."""
    device: str | None = None
    """Where encoders run, cpu or cuda; the default is the GPU where there is one."""
    workers: int | None = None
    """Processes that decode and resample ahead; 0 works in one process, the default is one a core."""

    def sets(self, embedding: Embedding) -> "ClipSets":
        from tunejury_jax.applications.clip_sets import ClipSets

        workers = worker_count(self.workers)
        return ClipSets(embedding, self.cache, self.device, workers)


@dataclass(frozen=True, kw_only=True)
class Measured(Clips):
    """Clips that are measured."""

    out: Path | None = None
    """Write the numbers here, as JSON."""

    def tell(self, sets: "ClipSets", clips: "Embeddings", metric: str, found: dict[str, Any], **more: Any) -> int:
        """Shows and writes an estimate, and more of them by name; the exit status says if all clips could be used."""
        from tunejury_jax.store.plan import fingerprint

        estimates = {metric: found, **more}
        show(
            f"Embedding {sets.name}",
            ("", "value (95 % interval)", "clips"),
            [_row(*each) for each in estimates.items()],
        )
        _show_failed(sets)
        show_counts({name: count for name, count in sets.counts().items() if count})
        encoder = {"embedding": sets.name, "fingerprint": fingerprint(clips.provenance)}
        finish(self.out, {"metric": metric, **found, **more, **encoder, "failed": sets.failed})
        return int(bool(sets.failed))


@dataclass(frozen=True, kw_only=True)
class Compared(Measured):
    """Clips that are compared with others."""

    reference: tuple[str, ...]
    """The reference set, given as the clips are."""
    of_reference: Selection = field(default_factory=Selection)

    def both(self, sets: "ClipSets") -> "tuple[Embeddings, Embeddings]":
        """The clips and the reference set."""
        reference = sets.read(self.reference, self.of_reference)
        clips = sets.read(self.inputs, self.select)
        clips.require_made_as(reference)
        return clips, reference


@dataclass(frozen=True, kw_only=True)
class Fad(Compared):
    """Frechet audio distance from a reference set: lower is closer. It compares at equal numbers of clips only."""

    embedding: Embedding = "clap"
    """Of what; mert-all-layers is the FAD-MERT of TuneJury's paper."""
    infinity: bool = False
    """Also extrapolate to infinitely many clips: needs several times as many clips as the embedding has numbers."""
    shrinkage: Literal["none", "ledoit-wolf"] = "none"
    """Of the covariances, where there are fewer clips than the embedding has numbers."""

    def run(self) -> int:
        # These here, so that --help does not wait for NumPy and JAX.
        from tunejury_jax.generation_metrics import fad, fad_infinity
        from tunejury_jax.generation_metrics.fad import SIZES

        sets = self.sets(self.embedding)
        clips, reference = self.both(sets)
        found = {**fad(clips.values, reference.values, self.shrinkage).to_json(), "shrinkage": self.shrinkage}
        if not self.infinity:
            return self.tell(sets, clips, "fad", found)
        n, dim = clips.values.shape
        if n < SIZES * dim:
            print(f"fad_infinity is a guess: {n} clips, expected at least {SIZES * dim} for {dim} numbers a clip")
        infinity = fad_infinity(clips.values, reference.values).to_json()
        return self.tell(sets, clips, "fad", found, fad_infinity=infinity)


@dataclass(frozen=True, kw_only=True)
class Mad(Compared):
    """MAUVE audio divergence from a reference set, -ln MAUVE: lower is closer; a mean over several clusterings."""

    preset: Literal["tunejury", "mad-metric"] = "tunejury"
    """Whose numbers: MERT's mean over time and seed 42, or its maximum and seed 25."""
    embedding: Embedding | None = None
    """Another one than the preset's."""
    seeds: int = 5
    """Clusterings."""

    def run(self) -> int:
        from tunejury_jax.generation_metrics import PRESETS, mad

        sets = self.sets(self.embedding or PRESETS[self.preset].embedding)
        clips, reference = self.both(sets)
        found = mad(clips.values, reference.values, self.preset, self.seeds)
        print(f"{self.seeds} clusterings in {found.buckets} buckets, standard deviation over them {found.std:.4f}")
        return self.tell(sets, clips, "mad", {**found.to_json(), "preset": self.preset})


@dataclass(frozen=True, kw_only=True)
class ClapScore(Measured):
    """Mean cosine between clips and their captions, by CLAP: higher fits better."""

    prompts: Path | None = None
    """Prompts (.json, .jsonl, .txt) by id, for clips that are named {prompt_id}_c{c}; others have theirs in a manifest
    (.jsonl with path and prompt) or in the feature store."""
    prefix: str = "high quality instrumental music, "
    """Taken off captions that begin with it."""

    def run(self) -> int:
        from tunejury_jax.generation_metrics import clap_score

        sets = self.sets("clap")
        clips, captions = sets.captioned(self.inputs, self.select, self.prompts, self.prefix)
        return self.tell(sets, clips, "clap_score", clap_score(clips.values, captions).to_json())


@dataclass(frozen=True, kw_only=True)
class Mpcd(Measured):
    """Mean pairwise cosine distance of clips: how unlike each other they are."""

    embedding: Embedding = "mert"
    """Of what."""

    def run(self) -> int:
        from tunejury_jax.generation_metrics import mpcd

        sets = self.sets(self.embedding)
        clips = sets.read(self.inputs, self.select)
        return self.tell(sets, clips, "mpcd", mpcd(clips.values).to_json())


@dataclass(frozen=True, kw_only=True)
class Reference(Clips):
    """Embed a reference set once, for fad and mad."""

    out: Path
    """File to write (.npz): the embeddings, and what made them."""
    embedding: Embedding
    """Which: clap, mert-all-layers, ... for fad, mert or mert-max for mad."""

    def run(self) -> int:
        if self.out.suffix != ".npz":
            raise ValueError(f"out: got {self.out}, accepted are names that end in .npz")
        sets = self.sets(self.embedding)
        made = sets.read(self.inputs, self.select)
        made.save(self.out)
        _show_failed(sets)
        print(f"Written: {self.out}, {len(made.values)} clips; {len(sets.failed)} cannot be used")
        return int(bool(sets.failed))


@dataclass(frozen=True)
class Metrics:
    """Measure a generator's clips: distance from a reference set, fit to captions, variety; each with its interval."""

    action: (
        Annotated[Fad, tyro.conf.subcommand("fad")]
        | Annotated[Mad, tyro.conf.subcommand("mad")]
        | Annotated[ClapScore, tyro.conf.subcommand("clap-score")]
        | Annotated[Mpcd, tyro.conf.subcommand("mpcd")]
        | Annotated[Reference, tyro.conf.subcommand("reference")]
    )

    def run(self) -> int:
        return self.action.run()


def _row(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    against = f" against {found['n_reference']}" if "n_reference" in found else ""
    return name, with_interval(found), f"{found['n']}{against}"


def _show_failed(sets: "ClipSets") -> None:
    for name, reason in list(sets.failed.items())[:MOST_SHOWN]:
        print(f"{name}: {reason}")
