"""From a feature store to arrays a head trains on.

Each block is a matrix of its own, and pairs are rows of indices into them; a pair's features are gathered inside the
jitted step and never stored. The row after the last prompt is zero: it is the prompt of pairs without one, and of
sources whose raters saw none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, UInt8

from trainers.recipe import DataConfig
from tunejury_jax.blocks import SIGNAL, TABLES, Block, Layout, Table
from tunejury_jax.errors import one_of
from tunejury_jax.pairs import LABELS, SPLITS, TARGETS, Split
from tunejury_jax.store import EncoderSpec, FeatureStore
from tunejury_jax.store.streaming import stream_to_device

__all__ = ["Arrays", "Dataset", "load_dataset"]


class Arrays(NamedTuple):
    """What lives on the device.

    Attributes:
        clip: A matrix for each clip block, one row a clip.
        prompt: A matrix for each prompt block, one row a prompt, then one row of zeros.
        index: Rows of clip a, clip b and prompt of each pair.
        target: P(a preferred) of each pair: 1, 0, or 0.5 for a tie.
    """

    clip: tuple[Float[Array, "clips _"], ...]
    prompt: tuple[Float[Array, "prompts _"], ...]
    index: Int32[Array, "pairs 3"]
    target: Float[Array, " pairs"]


@dataclass(frozen=True)
class Dataset:
    """A store made ready for training.

    Attributes:
        arrays: On the device.
        layout: Blocks and order of the columns.
        encoders: What made each block.
        ids: Of every pair.
        source: Position in `sources` of every pair.
        split: Position in `SPLITS` of every pair.
        labelled: Whether a pair has an answer that is trained on.
        encoded: Block -> whether a pair's clips, or its prompt, could be encoded.
    """

    arrays: Arrays
    layout: Layout
    encoders: Mapping[str, EncoderSpec]
    ids: tuple[str, ...]
    source: Int[np.ndarray, " pairs"]
    sources: tuple[str, ...]
    split: Int[np.ndarray, " pairs"]
    labelled: Bool[np.ndarray, " pairs"]
    encoded: Mapping[str, Bool[np.ndarray, " pairs"]]

    @cached_property
    def splits(self) -> Mapping[Split, Int[np.ndarray, " _"]]:
        """Rows of the usable pairs of each split: those that are answered, and encoded in all blocks."""
        usable = self.labelled & self._encoded("clip") & self._encoded("prompt")
        return {name: np.flatnonzero(usable & (self.split == code)) for code, name in enumerate(SPLITS)}

    @property
    def skipped(self) -> Mapping[str, int]:
        """Why pairs of the store are not used -> how many; each is counted once, for the first reason that holds."""
        audible, readable = self._encoded("clip"), self._encoded("prompt")
        unassigned = self.split == SPLITS.index("none")
        counts = {
            "both clips found bad": ~self.labelled,
            "audio could not be encoded": self.labelled & ~audible,
            "prompt could not be encoded": self.labelled & audible & ~readable,
            "in no split": self.labelled & audible & readable & unassigned,
        }
        return {reason: int(rows.sum()) for reason, rows in counts.items() if rows.any()}

    def _encoded(self, table: Table) -> Bool[np.ndarray, " pairs"]:
        blocks = [self.encoded[block.name] for block in self.layout.of_table(table)]
        return np.logical_and.reduce([np.ones(len(self.ids), bool), *blocks])

    def pairs(self, split: Split) -> Int[np.ndarray, " pairs"]:
        """Rows of the pairs of a split.

        Raises:
            ValueError: The split is unknown, or has no usable pair; says what the store has.
        """
        rows = self.splits[one_of("split", split, SPLITS)]
        if not len(rows):
            counts = {name: len(rows) for name, rows in self.splits.items()}
            raise ValueError(
                f"split: {split!r} has no usable pairs; the store has {counts}, skipped {dict(self.skipped)}"
            )
        return rows

    def seen_by(self, layout: Layout) -> "Dataset":
        """The data set with only the blocks of a head's layout.

        Raises:
            ValueError: It lacks one of them.
        """
        for name in layout.names:
            one_of("blocks", name, self.layout.names)
        by_name = dict(zip(self.layout.names, (*self.arrays.clip, *self.arrays.prompt), strict=True))
        clip, prompt = (tuple(by_name[block.name] for block in layout.of_table(table)) for table in TABLES)
        encoders = {name: self.encoders[name] for name in layout.names}
        return replace(self, arrays=self.arrays._replace(clip=clip, prompt=prompt), layout=layout, encoders=encoders)

    def decisive(self, split: Split) -> int:
        """How many usable pairs of a split have a winner."""
        return int((np.asarray(self.arrays.target)[self.splits[split]] != 0.5).sum())


def load_dataset(store: FeatureStore, config: DataConfig, layout: Layout | None = None) -> Dataset:
    """Reads a store's features and pairs.

    Args:
        store: A sealed store.
        config: Which blocks, and what to do with prompts and with pairs of which both were bad.
        layout: Overrides the blocks of `config`, for evaluating a checkpoint.

    Raises:
        ValueError: A block or source is not in the store.
    """
    layout = layout or _layout(store, config.blocks)
    pairs = store.pair_arrays()
    index = _with_zero_prompts(store, pairs.index, pairs.source, config.zero_prompt_sources)
    target, labelled = _targets(pairs.label, config.both_bad_as_tie)
    blocks = {block.name: _load_block(store, block) for block in layout.blocks}
    features = (tuple(blocks[block.name].values for block in layout.of_table(table)) for table in TABLES)
    return Dataset(
        arrays=Arrays(*(jax.device_put(part) for part in (*features, index, target))),
        layout=layout,
        encoders={name: store.plan.encoders[name] for name in layout.names},
        ids=tuple(record["pair_id"] for record in store.pair_records()),
        source=pairs.source.astype(np.int64),
        sources=store.plan.sources,
        split=pairs.split.astype(np.int64),
        labelled=labelled,
        encoded={block.name: blocks[block.name].of_pairs(index, block.table) for block in layout.blocks},
    )


class _Block(NamedTuple):
    values: Float[Array, "rows _"]
    ok: Bool[np.ndarray, " rows"]

    def of_pairs(self, index: Int32[np.ndarray, "pairs 3"], table: Table) -> Bool[np.ndarray, " pairs"]:
        """Whether all rows that a pair reads are there."""
        rows = index[:, :2] if table == "clip" else index[:, 2:]
        return np.asarray(self.ok[rows].all(axis=1))


def _layout(store: FeatureStore, names: Sequence[str]) -> Layout:
    blocks = {name: spec.block for name, spec in store.plan.encoders.items() if name != SIGNAL.name}
    return Layout.of(blocks[one_of("blocks", name, tuple(blocks))] for name in names or blocks)


def _load_block(store: FeatureStore, block: Block) -> _Block:
    """Reads a block; rows of what failed are zeros, no head that sees the block is given a pair of those."""
    return _Block(*stream_to_device(store, block.name, extra_rows=int(block.table == "prompt")))


def _with_zero_prompts(
    store: FeatureStore,
    index: Int32[np.ndarray, "pairs 3"],
    source: UInt8[np.ndarray, " pairs"],
    zeroed: Sequence[str],
) -> Int32[np.ndarray, "pairs 3"]:
    codes = [store.plan.sources.index(one_of("zero_prompt_sources", name, store.plan.sources)) for name in zeroed]
    none = (index[:, 2] < 0) | np.isin(source, codes)
    index = index.copy()
    index[none, 2] = store.plan.tables["prompt"].rows
    return index


def _targets(
    label: UInt8[np.ndarray, " pairs"], both_bad_as_tie: bool
) -> tuple[Float[np.ndarray, " pairs"], Bool[np.ndarray, " pairs"]]:
    both_bad = 0.5 if both_bad_as_tie else np.nan
    target = np.array([TARGETS.get(name, both_bad) for name in LABELS], np.float32)[label]
    return target, np.isfinite(target)
