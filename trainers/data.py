"""From a feature store to arrays a head trains on.

Clips and prompts are kept as two matrices and pairs as rows of indices into them; a pair's features are gathered
inside the jitted step and never stored. The row after the last prompt is zero: it is the prompt of pairs without
one, and of sources whose raters saw none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, UInt8

from trainers.recipe import DataConfig
from tunejury_jax.blocks import SIGNAL, TABLES, Layout, Table
from tunejury_jax.errors import one_of
from tunejury_jax.pairs import LABELS, SPLITS, TARGETS, Split
from tunejury_jax.store import EncoderSpec, FeatureStore

__all__ = ["Arrays", "Dataset", "gather", "load_dataset"]


class Arrays(NamedTuple):
    """What lives on the device.

    Attributes:
        clip: Joined clip blocks, one row a clip.
        prompt: Joined prompt blocks, one row a prompt, then one row of zeros.
        index: Rows of clip a, clip b and prompt of each pair.
        target: P(a preferred) of each pair: 1, 0, or 0.5 for a tie.
    """

    clip: Float[Array, "clips clip_dim"]
    prompt: Float[Array, "prompts prompt_dim"]
    index: Int32[Array, "pairs 3"]
    target: Float[Array, " pairs"]


def gather(arrays: Arrays, pairs: Int[Array, " batch"], columns: Bool[Array, " dim"]) -> Float[Array, "2 batch dim"]:
    """The features of some pairs, side a then side b; columns of blocks a head does not see are zero."""
    index = arrays.index[pairs]
    clip = arrays.clip[index[:, :2].T]
    prompt = jnp.broadcast_to(arrays.prompt[index[:, 2]], (*clip.shape[:2], arrays.prompt.shape[1]))
    return jnp.where(columns, jnp.concatenate([clip, prompt], axis=-1), 0.0)


@dataclass(frozen=True)
class Dataset:
    """A store made ready for training.

    Attributes:
        arrays: On the device.
        layout: Blocks and order of the columns.
        encoders: What made each block.
        splits: Rows of the usable pairs of each split.
        source: Position in `sources` of every pair.
        skipped: Why pairs of the store are not used -> how many.
    """

    arrays: Arrays
    layout: Layout
    encoders: Mapping[str, EncoderSpec]
    splits: Mapping[Split, Int[np.ndarray, " pairs"]]
    source: Int[np.ndarray, " all_pairs"]
    sources: tuple[str, ...]
    skipped: Mapping[str, int]

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
    tables = {table: _load_table(store, layout, table) for table in TABLES}
    pairs = store.pair_arrays()
    index = _with_zero_prompts(store, pairs.index, pairs.source, config.zero_prompt_sources)
    target, labelled = _targets(pairs.label, config.both_bad_as_tie)
    audible = np.asarray(tables["clip"].ok[index[:, :2]].all(axis=1))
    readable = tables["prompt"].ok[index[:, 2]]
    usable = labelled & audible & readable
    values = (tables["clip"].values, tables["prompt"].values, index, target)
    return Dataset(
        arrays=Arrays(*(jax.device_put(value) for value in values)),
        layout=layout,
        encoders={name: store.plan.encoders[name] for name in layout.names},
        splits={s: np.flatnonzero(usable & (pairs.split == i)) for i, s in enumerate(SPLITS)},
        source=pairs.source.astype(np.int64),
        sources=store.plan.sources,
        skipped=_count_skipped(labelled, audible, readable, pairs.split != SPLITS.index("none")),
    )


class _Table(NamedTuple):
    values: Float[np.ndarray, "rows dim"]
    ok: Bool[np.ndarray, " rows"]


def _layout(store: FeatureStore, names: Sequence[str]) -> Layout:
    blocks = {name: spec.block for name, spec in store.plan.encoders.items() if name != SIGNAL.name}
    return Layout.of(blocks[one_of("blocks", name, tuple(blocks))] for name in names or blocks)


def _load_table(store: FeatureStore, layout: Layout, table: Table) -> _Table:
    """Joins the blocks of a table; NaN rows of what failed become zeros, no pair that is kept points there."""
    rows = store.plan.tables[table].rows
    columns, ok = [np.zeros((rows, 0), np.float32)], np.ones(rows, bool)
    for block in layout.of_table(table):
        features = store.load(block.name)
        columns.append(features.values.astype(np.float32))
        ok &= features.ok
    values = np.where(ok[:, None], np.concatenate(columns, axis=1), np.float32(0))
    zero_row = np.zeros((int(table == "prompt"), values.shape[1]), np.float32)
    return _Table(np.concatenate([values, zero_row]), np.append(ok, np.ones(len(zero_row), bool)))


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


def _count_skipped(
    labelled: Bool[np.ndarray, " pairs"],
    audible: Bool[np.ndarray, " pairs"],
    readable: Bool[np.ndarray, " pairs"],
    assigned: Bool[np.ndarray, " pairs"],
) -> dict[str, int]:
    """Each pair is counted once, for the first reason that holds."""
    counts = {
        "both clips found bad": ~labelled,
        "audio could not be encoded": labelled & ~audible,
        "prompt could not be encoded": labelled & audible & ~readable,
        "in no split": labelled & audible & readable & ~assigned,
    }
    return {reason: int(rows.sum()) for reason, rows in counts.items() if rows.any()}
