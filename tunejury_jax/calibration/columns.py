"""How a table of battles names its columns; the defaults are those of the published post-cutoff battles."""

from dataclasses import dataclass

__all__ = ["Columns"]


@dataclass(frozen=True)
class Columns:
    """Names of the columns of the table of battles."""

    id: str = "battle_id"
    """Of the battle, each once."""
    preference: str = "preference"
    """A or B; where ties count, also TIE and BOTH_BAD."""
    system_a: str = "system_a"
    """What made clip a."""
    system_b: str = "system_b"
    """What made clip b."""
    score_a: str = "tj_a"
    """The head's score of clip a."""
    score_b: str = "tj_b"
    """The head's score of clip b."""
