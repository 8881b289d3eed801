"""The published split of a source: which id goes where, and how the ids meet the records at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunejury_jax.pairs import Pair, Split
from tunejury_jax.splits import assign_listed, read_split

__all__ = ["Listed"]

SHOWN = 3


@dataclass(frozen=True)
class Listed:
    """A split file."""

    file: Path
    splits: Mapping[str, Split]

    @classmethod
    def read(cls, splits: Path, source: str) -> "Listed":
        """Reads a split file, or that of a source, `<source>-*split*.json`, from a folder of them.

        Raises:
            ValueError: The folder has none of the source, or several; the file is no split file.
        """
        files = cls.files(splits, source)
        if len(files) != 1:
            names = [file.name for file in files]
            raise ValueError(f"splits: {splits}: expected one file {source}-*split*.json, found {names}; name the file")
        return cls(files[0], read_split(files[0]))

    @staticmethod
    def files(splits: Path, source: str) -> list[Path]:
        """The files that may be the source's."""
        return sorted(splits.glob(f"{source}-*split*.json")) if splits.is_dir() else [splits]

    def assign(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Gives each pair the split of its id; one that is not listed gets `none`.

        Raises:
            ValueError: No pair is listed, or a pair's own record names another split.
        """
        if not self.coverage(pairs)["found"]:
            listed, ours = (sorted(ids)[:SHOWN] for ids in (self.splits, {pair.id for pair in pairs}))
            raise ValueError(f"{self.file}: none of its ids is a pair's: it lists {listed}..., the pairs are {ours}...")
        return assign_listed(pairs, self.splits)

    def coverage(self, pairs: Sequence[Pair]) -> dict[str, int]:
        """How the ids of the list and those of the records meet."""
        ids = {pair.id for pair in pairs}
        found = len(ids & self.splits.keys())
        return {"found": found, "missing": len(self.splits) - found, "extra": len(ids) - found}
