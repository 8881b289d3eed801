"""What of a data set one head sees: its blocks, its prompts, its pairs.

Heads that see different parts share one population and one compiled epoch: a block that is not seen is zero, which
equals a head without it since the initialisation does not look at the number of inputs (fan_out), and a pair that is
not in a head's pool is passed over. So release, leave-outs and input ablations train side by side.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from trainers.data import Arrays, Dataset
from trainers.recipe import DataConfig
from tunejury_jax.blocks import Layout
from tunejury_jax.errors import one_of
from tunejury_jax.pairs import SPLITS

__all__ = [
    "Inputs",
    "Pairs",
    "View",
    "gather",
    "own_layout",
    "pool_sizes",
    "pool_sources",
    "shared_data",
    "view_all",
    "view_whole",
]

Inputs = tuple[Float[Array, "..."], ...]
"""Features of some pairs, a group of columns for each block; prompts, the same for both sides, have no side axis."""


class Pairs(NamedTuple):
    """Rows of the pairs that any head of a population trains on, and that any is validated on; both rising."""

    train: Int[Array, " train_pairs"]
    valid: Int[Array, " valid_pairs"]


class View(NamedTuple):
    """What one head sees.

    Attributes:
        blocks: Which blocks, clip blocks first.
        prompted: Of which pairs it sees the prompt.
        train: Which of `Pairs.train` it trains on.
        valid: Which of `Pairs.valid` it is validated on.
    """

    blocks: Bool[Array, " blocks"]
    prompted: Bool[Array, " pairs"]
    train: Bool[Array, " train_pairs"]
    valid: Bool[Array, " valid_pairs"]


def gather(arrays: Arrays, rows: Int[Array, " batch"], view: View) -> Inputs:
    """Features of some pairs: (2, batch, dim) of each clip block, (batch, dim) of each prompt block.

    A head without clip blocks gets its prompts once for each side.
    """
    index, clips = arrays.index[rows], len(arrays.clip)
    sides = [jnp.where(view.blocks[i], clip[index[:, :2].T], 0.0) for i, clip in enumerate(arrays.clip)]
    seen = view.prompted[rows][:, None]
    texts = [jnp.where(view.blocks[clips + i] & seen, p[index[:, 2]], 0.0) for i, p in enumerate(arrays.prompt)]
    return (*sides, *(texts if sides else (jnp.stack([text, text]) for text in texts)))


def own_layout(layout: Layout, data: DataConfig) -> Layout:
    """The blocks that a head sees of those that are loaded."""
    return Layout(tuple(block for block in layout.blocks if block.name in data.blocks or not data.blocks))


def shared_data(data: Sequence[DataConfig]) -> DataConfig:
    """What must be loaded so that each of these can be viewed in it.

    Raises:
        ValueError: They do not agree on what pairs of which both were bad mean.
    """
    as_ties = {one.both_bad_as_tie for one in data}
    if len(as_ties) > 1:
        raise ValueError("data.both_bad_as_tie: differs between the heads of one run, they must agree")
    blocks = dict.fromkeys(name for one in data for name in one.blocks)
    zeroed = set.intersection(*(set(one.zero_prompt_sources) for one in data))
    return DataConfig(
        blocks=tuple(blocks) if all(one.blocks for one in data) else (),
        zero_prompt_sources=tuple(sorted(zeroed)),
        both_bad_as_tie=as_ties.pop(),
    )


def view_all(dataset: Dataset, data: Sequence[DataConfig]) -> tuple[Pairs, list[View]]:
    """The pairs that some heads need between them, and what each head sees.

    Raises:
        ValueError: A block, source or pair is not in the data set, or a head has too few pairs.
    """
    for one in data:
        for name in one.blocks:
            one_of("blocks", name, dataset.layout.names)
    pools = [(_train_rows(dataset, one), _valid_rows(dataset, one)) for one in data]
    train, valid = (np.unique(np.concatenate(rows)) for rows in zip(*pools, strict=True))
    views = [_view(dataset, one, (train, valid), pool) for one, pool in zip(data, pools, strict=True)]
    return Pairs(jnp.asarray(train), jnp.asarray(valid)), views


def view_whole(dataset: Dataset, zero_prompt_sources: Sequence[str]) -> View:
    """All blocks, and the prompts of all sources but these that are in the data set: for measuring a trained head."""
    zeroed = [name for name in zero_prompt_sources if name in dataset.sources]
    prompted = ~_of_sources(dataset, "zero_prompt_sources", zeroed)
    nothing = jnp.zeros(0, bool)
    return View(jnp.ones(len(dataset.layout.blocks), bool), jnp.asarray(prompted), nothing, nothing)


def pool_sizes(dataset: Dataset, data: DataConfig) -> dict[str, int]:
    """How many pairs a head trains on and is validated on."""
    return {"train": len(_train_rows(dataset, data)), "valid": len(_valid_rows(dataset, data))}


def pool_sources(dataset: Dataset, data: DataConfig) -> dict[str, dict[str, dict[str, int]]]:
    """By split and source: how many pairs a head trains on, is validated on and can be tested on, and how many of them
    are decisive."""
    seen = dataset.seen_by(own_layout(dataset.layout, data))
    pools = {"train": _train_rows(dataset, data), "valid": _valid_rows(dataset, data), "test": seen.splits["test"]}
    return {split: _by_source(dataset, rows) for split, rows in pools.items()}


Rows = Int[np.ndarray, " _"]


def _by_source(dataset: Dataset, rows: Rows) -> dict[str, dict[str, int]]:
    decisive = rows[np.asarray(dataset.arrays.target)[rows] != 0.5]
    counts = {"pairs": dataset.source[rows], "decisive": dataset.source[decisive]}
    return {
        name: {kind: int((codes == code).sum()) for kind, codes in counts.items()}
        for code, name in enumerate(dataset.sources)
        if code in counts["pairs"]
    }


def _view(dataset: Dataset, data: DataConfig, shared: tuple[Rows, Rows], pool: tuple[Rows, Rows]) -> View:
    blocks = [block in own_layout(dataset.layout, data).blocks for block in dataset.layout.blocks]
    masks = (np.isin(rows, own) for rows, own in zip(shared, pool, strict=True))
    prompted = ~_of_sources(dataset, "zero_prompt_sources", data.zero_prompt_sources)
    return View(*(jnp.asarray(mask) for mask in (np.array(blocks), prompted, *masks)))


def _train_rows(dataset: Dataset, data: DataConfig) -> Rows:
    left_out = _of_sources(dataset, "leave_out", data.leave_out)
    seen = dataset.seen_by(own_layout(dataset.layout, data))
    train = seen.pairs("train")
    rows = np.union1d(train[~left_out[train]], _added_rows(seen, data.add))
    if len(rows) < 2:
        left = f"{len(rows)} left without {list(data.leave_out)}" if data.leave_out else f"{len(rows)}"
        raise ValueError(f"split: 'train' has too few usable pairs ({left}), BatchNorm needs at least 2")
    return rows


def _valid_rows(dataset: Dataset, data: DataConfig) -> Rows:
    valid = dataset.seen_by(own_layout(dataset.layout, data)).pairs("valid")
    if not data.clean_valid:
        return valid
    rows = valid[~_of_sources(dataset, "leave_out", data.leave_out)[valid]]
    if not len(rows):
        raise ValueError(f"clean_valid: without {list(data.leave_out)} no pair is left to validate on")
    return rows


def _of_sources(dataset: Dataset, field: str, names: Sequence[str]) -> Bool[np.ndarray, " pairs"]:
    codes = [dataset.sources.index(one_of(field, name, dataset.sources)) for name in names]
    return np.isin(dataset.source, codes)


def _added_rows(dataset: Dataset, ids: Sequence[str]) -> Rows:
    row_of = {name: row for row, name in enumerate(dataset.ids)} if ids else {}
    unknown = [name for name in ids if name not in row_of]
    if unknown:
        raise ValueError(f"add: {len(unknown)} of {len(ids)} pairs are not in the store, the first is {unknown[0]!r}")
    rows = np.array([row_of[name] for name in ids], np.int64)
    used = [dataset.splits[name] for name in ("train", "none")]  # the others are kept for judging
    refused = rows[~np.isin(rows, np.concatenate(used))]
    if len(refused):
        first, split = dataset.ids[refused[0]], SPLITS[dataset.split[refused[0]]]
        raise ValueError(
            f"add: {len(refused)} of {len(ids)} pairs cannot be used, the first is {first!r} of split {split!r}; "
            "accepted are pairs to train on and of no split, answered and encoded"
        )
    return rows
