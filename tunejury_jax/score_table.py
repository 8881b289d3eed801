"""The table of scores that `tunejury score` prints."""

from collections.abc import Iterator

from rich.table import Table

from tunejury_jax.score_files import EnsembleRow, ScoreRow
from tunejury_jax.scorer import Scorer

__all__ = ["ScoreTable"]


class ScoreTable:
    """Rewards, and for an ensemble how far its members disagree."""

    def __init__(self, scorer: Scorer, title: str) -> None:
        columns = ("file", "reward", "error")
        if (members := scorer.checkpoint.members) > 1:
            less = f" - {scorer.conservative:g} std" if scorer.conservative else ""
            columns, title = ("file", "reward", "std", "error"), f"{title}, mean{less} of {members} heads"
        self.table = Table(*columns, title=title)

    def add(self, row: ScoreRow) -> None:
        """Adds a file."""
        self.table.add_row(*_cells(row))


def _cells(row: ScoreRow) -> Iterator[str]:
    yield row.id
    yield "" if row.reward is None else f"{row.reward:+.4f}"
    if isinstance(row, EnsembleRow):
        yield "" if row.std is None else f"{row.std:.4f}"
    yield row.error or ""
