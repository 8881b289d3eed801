"""`tunejury percentiles`: where rewards stand among released scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from tunejury_jax.console import make_console

if TYPE_CHECKING:
    from tunejury_jax.percentiles import Percentiles

__all__ = ["PercentilesCommand"]


@dataclass(frozen=True)
class BuildPercentiles:
    """Make a small table of released scores, which says how a reward of the same head compares.

    A collection is called as its file is, up to "_scores". Negative rewards are normal."""

    tables: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Tables (csv) with the columns track_id and reward_score; other columns are passed over."""
    out: Path
    """Where the table goes, as JSON."""

    def run(self) -> int:
        from tunejury_jax.percentiles import Percentiles  # here, so that --help does not wait for NumPy

        built = Percentiles.build(self.tables)
        built.save(self.out)
        _show(built)
        print(f"Written: {self.out}")
        return 0


@dataclass(frozen=True)
class ShowPercentiles:
    """Say where rewards stand among released scores: 83 is higher than 83 % of the tracks, a tie counting half."""

    table: Annotated[Path, tyro.conf.Positional]
    """What build has made."""
    rewards: Annotated[tuple[float, ...], tyro.conf.Positional]
    """Scores of the head that scored the collections."""

    def run(self) -> int:
        from rich.table import Table

        from tunejury_jax.percentiles import Percentiles

        loaded = Percentiles.load(self.table)
        shown = Table("reward", *loaded.collections, "all tracks")
        for reward in self.rewards:
            found = [loaded.of(reward, name) for name in (*loaded.collections, None)]
            shown.add_row(f"{reward:+.4f}", *(f"{percentile:.1f}" for percentile in found))
        make_console().print(shown)
        return 0


@dataclass(frozen=True)
class PercentilesCommand:
    """Percentiles of rewards within released scores: make a table of these, or look rewards up."""

    action: (
        Annotated[BuildPercentiles, tyro.conf.subcommand("build")]
        | Annotated[ShowPercentiles, tyro.conf.subcommand("of")]
    )

    def run(self) -> int:
        return self.action.run()


def _show(built: "Percentiles") -> None:
    from rich.table import Table

    table = Table("collection", "tracks", "mean", "std", "10 %", "median", "90 %", "head")
    for name, each in built.collections.items():
        tenths = [f"{each.kept[len(each.kept) * tenth // 10]:+.3f}" for tenth in (1, 5, 9)]
        head = each.checkpoint[:12] if each.checkpoint else "not known"
        table.add_row(name, f"{each.n:,}", f"{each.mean:+.3f}", f"{each.std:.3f}", *tenths, head)
    make_console().print(table)
