"""Feature blocks: their names, widths and order, the one place where the head's input is laid out.

A head reads the concatenation of blocks, clip blocks first, prompt blocks last. The order is part of the
meaning: features of one layout fed to a head of another are silently wrong, so a `Layout` travels inside every
checkpoint and is compared before anything is scored (spec.md section 1).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from tunejury_jax.errors import one_of

__all__ = ["BLOCKS", "FACTS", "SIGNAL", "TABLES", "Block", "Layout", "Table"]

Table = Literal["clip", "prompt"]
TABLES: tuple[Table, ...] = ("clip", "prompt")


@dataclass(frozen=True)
class Block:
    """One frozen embedding: a named group of `dim` input columns, read by clip or by prompt."""

    name: str
    dim: int
    table: Table


BLOCKS: tuple[Block, ...] = (
    Block("clap_audio", 512, "clip"),
    Block("mert", 1024, "clip"),
    Block("muq_audio", 512, "clip"),
    Block("mel_baseline", 400, "clip"),
    Block("clap_text", 512, "prompt"),
    Block("muq_text", 512, "prompt"),
    Block("ngram_baseline", 256, "prompt"),
)
"""The published blocks in their published order; a block of any other name sorts after these, by name."""

FACTS = ("duration_s", "sample_rate_hz", "channels", "peak", "rms_dbfs")
SIGNAL = Block("signal", len(FACTS), "clip")
"""`FACTS` of the decoded file, before any processing: stored beside the features, never an input of a head."""

_RANK = {block.name: rank for rank, block in enumerate(BLOCKS)}


@dataclass(frozen=True)
class Layout:
    """The ordered blocks of a head's input.

    >>> Layout.of(["clap_text", "mert", "clap_audio"]).names
    ('clap_audio', 'mert', 'clap_text')
    >>> Layout.of(["clap_text", "mert", "clap_audio"]).dim
    2048
    """

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ValueError("blocks: a layout needs at least one block, got none")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"blocks: each block may occur once, got {list(self.names)}")
        for block in self.blocks:
            _check(block)
        if list(self.blocks) != sorted(self.blocks, key=_position):
            raise ValueError(f"blocks: not in canonical order, got {list(self.names)}; build with Layout.of")

    @classmethod
    def of(cls, blocks: Iterable[Block | str]) -> "Layout":
        """Lays blocks, or names of published blocks, out in canonical order."""
        return cls(tuple(sorted((_published(b) if isinstance(b, str) else b for b in blocks), key=_position)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(block.name for block in self.blocks)

    @property
    def dim(self) -> int:
        return sum(block.dim for block in self.blocks)

    def of_table(self, table: Table) -> tuple[Block, ...]:
        """The blocks read by clip, or by prompt, in order."""
        return tuple(block for block in self.blocks if block.table == table)

    def columns(self, name: str) -> slice:
        """The input columns of one block."""
        one_of("block", name, self.names)
        start = 0
        for block in self.blocks:
            if block.name == name:
                break
            start += block.dim
        return slice(start, start + block.dim)

    def mask(self, keep: Iterable[str]) -> Bool[np.ndarray, " dim"]:
        """True on the columns of the blocks in `keep`: zeroing the others equals removing them, because the
        initialisation does not look at the number of inputs (fan_out)."""
        mask = np.zeros(self.dim, bool)
        for name in keep:
            mask[self.columns(name)] = True
        return mask

    def join(self, features: Mapping[str, Float[np.ndarray, "batch _"]]) -> Float[np.ndarray, "batch dim"]:
        """Concatenates per-block features, given by name, into head inputs.

        Raises:
            ValueError: A block is missing or has another width; features beyond the layout are ignored.
        """
        for block in self.blocks:
            if block.name not in features:
                raise ValueError(f"features: block {block.name!r} is missing, got {sorted(features)}")
            width = features[block.name].shape[-1]
            if width != block.dim:
                raise ValueError(f"features[{block.name!r}]: expected {block.dim} columns, got {width}")
        return np.concatenate([features[name] for name in self.names], axis=-1)


def _check(block: Block) -> None:
    one_of("table", block.table, TABLES)
    if block.dim < 1:
        raise ValueError(f"dim: block {block.name!r} needs at least one column, got {block.dim}")
    if block.name in _RANK and block != BLOCKS[_RANK[block.name]]:
        raise ValueError(f"block {block.name!r} is published as {BLOCKS[_RANK[block.name]]}, got {block}")
    if block.name == SIGNAL.name:
        raise ValueError(f"block {block.name!r} holds file facts and cannot be a head's input")


def _published(name: str) -> Block:
    return BLOCKS[_RANK[one_of("block", name, tuple(_RANK))]]


def _position(block: Block) -> tuple[int, int, str]:
    return TABLES.index(block.table), _RANK.get(block.name, len(_RANK)), block.name
