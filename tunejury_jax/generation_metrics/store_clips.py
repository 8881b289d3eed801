"""Clips of a sealed feature store: chosen by what the pairs say of them, and their embeddings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from tunejury_jax.errors import one_of
from tunejury_jax.generation_metrics.embeddings import STORED_BLOCKS, Embeddings
from tunejury_jax.pairs import SPLITS
from tunejury_jax.selection import Embedding, Selection
from tunejury_jax.store import FeatureStore

__all__ = ["StoreClips", "store_captions", "store_clips"]

SIDES = ("a", "b")
TEXT_BLOCK = "clap_text"


class StoreClips(NamedTuple):
    """Embeddings of clips, and why others that were chosen have none, by key."""

    embeddings: Embeddings
    failed: dict[str, str]


def store_clips(location: str, embedding: Embedding, selection: Selection) -> StoreClips:
    """The embeddings of the clips that are chosen, in the order of the store.

    Args:
        location: Of a sealed store.
        embedding: Not one with a pooling of its own, which stores do not hold.
        selection: Which clips.

    Raises:
        ValueError: No sealed store, it does not hold the embedding, or a condition is unknown or leaves no clip.
    """
    store = FeatureStore.open_sealed(location)
    rows = sorted({clip for clip, _ in _chosen(store, selection)})
    return _loaded(store, embedding, rows)[0]


def store_captions(location: str, selection: Selection) -> tuple[StoreClips, Float[np.ndarray, "clips dim"]]:
    """CLAP's embeddings of clips and of the prompt each was made for; once for each prompt of a clip.

    Raises:
        ValueError: As `store_clips`, or no clip that is chosen has a prompt.
    """
    store = FeatureStore.open_sealed(location)
    chosen = sorted({(clip, prompt) for clip, prompt in _chosen(store, selection) if prompt >= 0})
    if not chosen:
        raise ValueError(f"{location}: no clip that is chosen has a prompt")
    one_of("encoders", TEXT_BLOCK, tuple(store.plan.encoders))
    clips, kept = _loaded(store, "clap", [clip for clip, _ in chosen])
    return clips, store.load(TEXT_BLOCK).values[[prompt for _, prompt in chosen]][kept]


def _chosen(store: FeatureStore, selection: Selection) -> Iterator[tuple[int, int]]:
    """Rows of clip and prompt, as often as pairs name them."""
    pairs, records = store.pair_arrays(), store.pair_records()
    if selection.source is not None:
        one_of("source", selection.source, store.plan.sources)
    keys, wanted = [clip.key for clip in store.clips()], _wanted(selection.ids)
    if wanted is not None and (unknown := wanted - set(keys)):
        raise ValueError(f"ids: {len(unknown)} keys are not in {store.location}, the first is {min(unknown)!r}")
    found = [
        (clip, int(index[2]))
        for index, source, split, record in zip(pairs.index, pairs.source, pairs.split, records, strict=True)
        if selection.source in (None, store.plan.sources[source]) and selection.split in (None, SPLITS[split])
        for clip in _sides(index, record, selection)
        if wanted is None or keys[clip] in wanted
    ]
    if not found:
        raise ValueError(f"{store.location}: no clip meets {selection}")
    yield from found


def _sides(index: np.ndarray, record: dict[str, Any], selection: Selection) -> Iterator[int]:
    for column, side in enumerate(SIDES):
        if selection.side in (None, side) and selection.system in (None, record[f"system_{side}"]):
            yield int(index[column])


def _wanted(ids: Path | None) -> set[str] | None:
    return None if ids is None else set(filter(None, map(str.strip, ids.read_text(encoding="utf-8").splitlines())))


def _loaded(store: FeatureStore, embedding: Embedding, rows: list[int]) -> tuple[StoreClips, list[int]]:
    """The embeddings of rows, and which of these have one."""
    block = STORED_BLOCKS.get(embedding)
    if block is None or block not in store.plan.encoders:
        raise ValueError(f"{store.location}: holds no {embedding}, but {sorted(store.plan.encoders)}: give its audio")
    values, ok = store.load(block)
    clips, why = store.clips(), store.failures(block)
    kept = [number for number, row in enumerate(rows) if ok[row]]
    ids = tuple(clips[rows[number]].key for number in kept)
    made = Embeddings(values[rows][kept].astype(np.float32), ids, embedding, store.plan.encoders[block].provenance)
    return StoreClips(made, {clips[row].key: why.get(row, "failed") for row in rows if not ok[row]}), kept
