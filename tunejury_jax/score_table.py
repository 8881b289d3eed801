"""The table of scores that `tunejury score` prints."""

from collections.abc import Callable

from rich.table import Table

from tunejury_jax.score_files import ScoreRow
from tunejury_jax.scorer import Scorer

__all__ = ["ScoreTable"]

Cell = Callable[[ScoreRow], str]


class ScoreTable:
    """Rewards, and what there is to know about them; begun empty."""

    present = 0

    def __init__(self, scorer: Scorer, title: str, both: bool = False) -> None:
        """
        Args:
            scorer: Decides the columns.
            title: Of the table.
            both: Whether there are rows with and without the prompt.
        """
        members = scorer.checkpoint.members
        less = f" - {scorer.conservative:g} std" if scorer.conservative else ""
        shown: dict[str, Cell | None] = {
            "file": lambda row: row.id,
            "prompt": (lambda row: row.prompt_protocol) if both else None,
            "reward": lambda row: _number(row.reward, "+.4f"),
            "std": (lambda row: _number(row.std, ".4f")) if members > 1 else None,
            "percentile": (lambda row: _number(row.percentile, ".1f")) if scorer.percentiles else None,
            "flags": lambda row: " ".join(row.flags),
            "error": lambda row: row.error or "",
        }
        self._cells = {name: cell for name, cell in shown.items() if cell}
        heads = f", mean{less} of {members} heads" if members > 1 else ""
        self.table = Table(*self._cells, title=f"{title}{heads}; negative is normal")

    def __enter__(self) -> "ScoreTable":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def append(self, row: ScoreRow) -> None:
        """Adds a row."""
        self.table.add_row(*(cell(row) for cell in self._cells.values()))


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
