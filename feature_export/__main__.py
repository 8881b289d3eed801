"""python -m feature_export: pairs and audio in, a sealed feature store out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from feature_export.options import Running, Source
from tunejury_jax.console import command

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Make a pairs file of published labels: checked, split, with a report of what was left out."""

    source: Literal["music-arena", "musicprefs", "aime", "songeval", "cmi-pref", "folder", "all"]
    """Whose labels; all is the pool of the first four, with the published counts beside what was found."""
    data: Path
    """The labels: the data set's folder, or its table; for all the folder with music-arena/, musicprefs/,
    aime/AIME-survey/, aime/AIME/ and songeval/."""
    out: Path
    """The pairs file."""
    audio: Path | None = None
    """Folder of the audio where it is not in the data's: aime (needed), cmi-pref, folder."""
    audio_out: Path | None = None
    """Extract the clips that are stored inside parquet files to this folder: musicprefs, aime. For all it becomes the
    audio root: the other sources' audio is linked there."""
    bench: Path | None = None
    """CMI-RewardBench's all_test.jsonl, whose battles are left out: music-arena."""
    question: str | None = None
    """What raters were asked: musicprefs (musicality, fidelity), aime (by default both), cmi-pref."""
    prompt_column: str | None = None
    """Column of the prompts, '' for none: musicprefs."""
    seed: int | None = None
    """Of the drawn pairs, 42 by default: songeval."""
    song_order: Literal["name", "number"] | None = None
    """What songs are sorted by before pairs are drawn, by default name: songeval."""
    splits: Path | None = None
    """A published split file, or the folder that holds the source's; all needs the folder."""
    report: Path | None = None
    """Write the report here too, as JSON."""
    strict: bool = False
    """Refuse audio that is listed and not there."""
    partial: bool = False
    """Take the sources that are there: all."""

    def run(self) -> int:
        from feature_export.sources.pairs_file import make_pairs

        given = {name: value for name, value in vars(self).items() if value is not None}
        of_all = ("source", "out", "splits", "report", "strict", "partial")
        general = {name: given.pop(name) for name in of_all if name in given}
        make_pairs(**general, options=given)
        return 0


@dataclass(frozen=True)
class Plan(Source):
    """Lay a store out: which rows, which encoders. Nothing is encoded."""

    def run(self) -> int:
        from feature_export import commands

        commands.plan_source(self)
        return 0


@dataclass(frozen=True, kw_only=True)
class Export(Source, Running):
    """Plan, encode and seal in one go; the same command continues where it stopped."""

    def run(self) -> int:
        from feature_export import commands

        return commands.export(self, self)


@dataclass(frozen=True, kw_only=True)
class Encode(Running):
    """Encode the blocks of a planned store that are not committed yet."""

    store: str
    """A planned store."""
    shard: str = "0/1"
    """i/n: this worker takes every n-th block, from the i-th (counting from 0)."""

    def run(self) -> int:
        from feature_export import commands

        return commands.encode(self.store, self, self.shard)


@dataclass(frozen=True)
class Seal:
    """Verify a fully encoded store and mark it complete."""

    store: str
    """A planned store with all blocks committed."""

    def run(self) -> int:
        from feature_export import commands

        return commands.seal(self.store)


@dataclass(frozen=True)
class Verify:
    """Read a sealed store again and compare every byte with its seal."""

    store: str
    """A sealed store."""
    audio_root: Path | None = None
    """Also compare the audio files with those that were encoded."""

    def run(self) -> int:
        from feature_export import commands

        return commands.verify(self.store, self.audio_root)


@dataclass(frozen=True, kw_only=True)
class Grow:
    """Add a sealed store to a data set of several, which is trained on as one."""

    dataset: str
    """Folder or bucket URL of the data set; made with its first part."""
    part: str
    """A sealed store below it."""

    def run(self) -> int:
        from feature_export import commands

        return commands.grow_dataset(self.dataset, self.part)


@dataclass(frozen=True, kw_only=True)
class ImportPt:
    """Import features that upstream extracted, one .pt a pair, as a sealed store; the same command continues."""

    features: Path
    """Folder with <id>.pt."""
    out: str
    """The store: a folder, or a gs:// or s3:// URL."""
    splits: Path | None = None
    """Folder of the published split files, or one file; without it pairs are split 80/10/10 by their features."""

    def run(self) -> int:
        from feature_export.import_pt import import_pt

        import_pt(self.features, self.out, self.splits)
        print(self.out)
        return 0


@dataclass(frozen=True)
class Inspect:
    """Show what a store holds: counts, sources, labels, durations, failed files, a sample."""

    store: str
    """A planned store, finished or not."""

    def run(self) -> int:
        from feature_export.inspection import show

        show(self.store)
        return 0


@dataclass(frozen=True)
class Demo:
    """Synthesise the embedded demo data set and export it with the mel baseline, as any data is exported."""

    out: Path
    """Folder for audio, pairs and store."""
    songs: int = 170
    """Songs to synthesise."""
    seed: int = 7
    """Another seed is another data set."""

    def run(self) -> int:
        from feature_export import commands

        return commands.demo(self.out, self.songs, self.seed)


Command = Annotated[
    Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Pairs, tyro.conf.subcommand("pairs")]
    | Annotated[ImportPt, tyro.conf.subcommand("import-pt")]
    | Annotated[Plan, tyro.conf.subcommand("plan")]
    | Annotated[Encode, tyro.conf.subcommand("encode")]
    | Annotated[Seal, tyro.conf.subcommand("seal")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Grow, tyro.conf.subcommand("grow")]
    | Annotated[Inspect, tyro.conf.subcommand("inspect")]
    | Annotated[Demo, tyro.conf.subcommand("demo")],
    tyro.conf.OmitSubcommandPrefixes,
]


def main(chosen: Command) -> int:
    """Runs the chosen command; returns its exit status."""
    return chosen.run()


if __name__ == "__main__":
    command("python -m feature_export", Command, main)  # type: ignore[arg-type]
