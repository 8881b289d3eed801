"""Which pair is trained on, validated on and tested on.

A split comes from the pairs file, from published id lists, or, where neither says anything, from the clips: pairs
that share a clip, directly or through others, go to one split together, so no clip is heard in two splits.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunejury_jax.documents import read_object
from tunejury_jax.errors import one_of
from tunejury_jax.pairs import Pair, Split

__all__ = ["assign_by_clip", "assign_listed", "read_split"]

SHARES: dict[Split, float] = {"train": 0.8, "valid": 0.1, "test": 0.1}
MAX_SPLIT_BYTES = 256 << 20


def read_split(path: Path) -> dict[str, Split]:
    """Reads a published split file, `{"train": [ids], "valid": [ids], "test": [ids], "metadata": ...}`.

    Returns:
        Pair id -> split.

    Raises:
        ValueError: Not such a file, no pair id in it, or one that stands in two splits or twice in one.
    """
    splits: dict[str, Split] = {}
    for split, pair_id in _entries(path, read_object(path, MAX_SPLIT_BYTES)):
        if pair_id in splits:
            raise ValueError(f"{path}: pair {pair_id!r} is in split {splits[pair_id]!r} and again in {split!r}")
        splits[pair_id] = split
    if not splits:
        raise ValueError(f"{path}: lists no pair ids, expected some in {', '.join(SHARES)}")
    return splits


def assign_listed(pairs: Sequence[Pair], listed: Mapping[str, Split]) -> list[Pair]:
    """Gives each pair the split of its id; one that is not listed goes to no split.

    Raises:
        ValueError: A pair's own record names another split than the list.
    """
    for pair in pairs:
        split = listed.get(pair.id, "none")
        if pair.split not in (None, split):
            raise ValueError(f"split: pair {pair.id!r} is in {pair.split!r} by its record and in {split!r} by the list")
    return [replace(pair, split=listed.get(pair.id, "none")) for pair in pairs]


def assign_by_clip(pairs: Sequence[Pair], seed: int = 0) -> list[Pair]:
    """Splits pairs about 80 / 10 / 10 so that no clip is in two splits; a function of clips and seed alone."""
    group = _Groups()
    for pair in pairs:
        group.join(pair.clip_a.key, pair.clip_b.key)
    names = {key: min(members) for members in group.members() for key in members}
    return [replace(pair, split=_draw(f"{seed}/{names[pair.clip_a.key]}")) for pair in pairs]


def _entries(path: Path, document: Mapping[str, Any]) -> Iterator[tuple[Split, str]]:
    for name, ids in document.items():
        if name == "metadata":
            continue
        split = one_of(f"{path}: split", name, tuple(SHARES))
        if not isinstance(ids, list) or not all(isinstance(pair_id, str) for pair_id in ids):
            raise ValueError(f"{path}: {name}: expected a list of pair ids")
        yield from ((split, pair_id) for pair_id in ids)  # type: ignore[misc]


def _draw(name: str) -> Split:
    u = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    return "train" if u < SHARES["train"] else "valid" if u < SHARES["train"] + SHARES["valid"] else "test"


class _Groups:
    """Disjoint sets of clip keys, joined pair by pair."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, key: str) -> str:
        self._parent.setdefault(key, key)
        while self._parent[key] != key:
            self._parent[key] = self._parent[self._parent[key]]
            key = self._parent[key]
        return key

    def join(self, a: str, b: str) -> None:
        self._parent[self.find(a)] = self.find(b)

    def members(self) -> list[list[str]]:
        groups: dict[str, list[str]] = {}
        for key in self._parent:
            groups.setdefault(self.find(key), []).append(key)
        return list(groups.values())
