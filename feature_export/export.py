"""From pairs and audio to a feature store: plan, encode, seal.

Encoding goes block by block, as the store commits them. A file that cannot be used becomes a recorded failure of its
row and never stops the job; a job that was killed goes on with the blocks that have no commit.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from feature_export.audio import AudioError, load
from feature_export.encoders import Stack
from tunejury_jax.blocks import SIGNAL, TABLES, Table
from tunejury_jax.pairs import Pair
from tunejury_jax.store import EncoderSpec, FeatureStore, StoreError, difference, plan_store, write_block

__all__ = ["Encoded", "Encoding", "changed_audio", "file_sha256", "plan"]

MAX_BLOCK_ROWS, MIN_BLOCK_ROWS, TARGET_BLOCKS = 1024, 16, 64
Embedded = Mapping[str, Float[np.ndarray, " _"]]

PACKAGES = ("tunejury-jax", "torch", "soundfile", "av", "numpy", "tensorstore")


class Encoded(NamedTuple):
    """How many rows were encoded, and how many of them could not be."""

    rows: int
    failed: int


def plan(pairs: Sequence[Pair], stack: Stack, location: str, block_rows: int | None = None) -> FeatureStore:
    """Plans a store for some pairs and encoders; planning the same again finds it.

    Args:
        pairs: With their splits.
        stack: The encoders.
        location: Folder or bucket URL of the store.
        block_rows: Rows to commit at a time; by default about a 64th of the larger table, between 16 and 1024.

    Raises:
        StoreError: A store with another plan stands there.
    """
    clips = {clip.key for pair in pairs for clip in (pair.clip_a, pair.clip_b)}
    prompts = {pair.prompt for pair in pairs}
    provenance = stack.provenance()
    specs = [EncoderSpec(encoder.block, provenance[encoder.block.name]) for encoder in stack.encoders]
    rows = _block_rows(max(len(clips), len(prompts))) if block_rows is None else block_rows
    return plan_store(location, pairs, specs, block_rows=rows, environment={name: version(name) for name in PACKAGES})


class Encoding:
    """The work left on a store: the blocks of one shard that have no commit, encoded and committed one by one.

    Args:
        store: A planned store.
        stack: The encoders it was planned for.
        audio_root: Folder that the clips' paths are relative to.
        shard: Worker `i` of `n` takes every n-th block.
        threads: Rows embedded at a time; a row depends on no other, so the store does not depend on this.

    Raises:
        StoreError: The store was planned for other encoders; says what differs.
        ValueError: The audio root is not a folder, or the shard is not one.
    """

    def __init__(
        self, store: FeatureStore, stack: Stack, audio_root: Path, shard: tuple[int, int] = (0, 1), threads: int = 1
    ) -> None:
        _require_planned_for(store, stack)
        if not audio_root.is_dir():
            raise ValueError(f"audio_root: {str(audio_root)!r} is not a folder")
        self._store, self._stack, self._audio_root = store, stack, audio_root
        self._pool = ThreadPoolExecutor(threads)
        self._clips, self._prompts = store.clips(), store.prompts()
        self._blocks: list[tuple[Table, int]] = [(t, block) for t in TABLES for block in self._pending(t, shard)]

    @property
    def rows(self) -> int:
        """How many rows there are to encode."""
        return sum(high - low for low, high in (self._bounds(table, block) for table, block in self._blocks))

    def run(self, on_rows: Callable[[int], None] = lambda count: None) -> Encoded:
        """Encodes everything; `on_rows` is called with the number of rows done since the last call."""
        failed = sum(len(self._encode(table, block, on_rows)) for table, block in self._blocks)
        return Encoded(self.rows, failed)

    def _names(self, table: Table) -> list[str]:
        return [name for name, spec in self._store.plan.encoders.items() if spec.block.table == table]

    def _pending(self, table: Table, shard: tuple[int, int]) -> list[int]:
        """Blocks that any encoder of the table lacks: a clip is decoded once for all of them."""
        return sorted({block for name in self._names(table) for block in self._store.pending(name, shard)})

    def _bounds(self, table: Table, block: int) -> tuple[int, int]:
        return self._store.bounds(self._names(table)[0], block)

    def _encode(self, table: Table, block: int, on_rows: Callable[[int], None]) -> dict[int, str]:
        low, high = self._bounds(table, block)
        encoders = self._store.plan.encoders
        values = {n: np.full((high - low, encoders[n].block.dim), np.nan, np.float32) for n in self._names(table)}
        failed: dict[int, str] = {}
        embedded = self._pool.map(lambda row: self._embed_or_reason(table, row), range(low, high))
        for row, result in zip(range(low, high), embedded, strict=True):
            if isinstance(result, str):
                failed[row] = result
            else:
                for name, value in result.items():
                    values[name][row - low] = value
            on_rows(1)
        for name, rows in values.items():
            facts = {"audio_sha256": self._digests(low, high)} if name == SIGNAL.name else None
            write_block(self._store, name, block, rows, failed, facts)
        return failed

    def _embed_or_reason(self, table: Table, row: int) -> Embedded | str:
        try:
            return self._embed(table, row)
        except (ValueError, RuntimeError) as error:
            return str(error) or type(error).__name__

    def _embed(self, table: Table, row: int) -> Embedded:
        if table == "prompt":
            return self._stack.embed_prompt(self._prompts[row])
        clip = self._clips[row]
        path = self._audio_root / clip.path
        try:
            return self._stack.embed_audio(load(path, clip.span))
        except AudioError as error:  # the store is the same wherever the audio lies
            raise AudioError(str(error).removeprefix(f"{path}: ")) from error

    def _digests(self, low: int, high: int) -> list[str | None]:
        return [file_sha256(self._audio_root / clip.path) for clip in self._clips[low:high]]


def file_sha256(path: Path) -> str | None:
    """The sha256 of a file's bytes, or None where there is no regular file that can be read."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def changed_audio(store: FeatureStore, audio_root: Path) -> list[str]:
    """The clips whose file is not the one that was encoded, by key.

    Raises:
        StoreError: Not all clips are encoded.
    """
    clips = store.clips()
    recorded = [digest for commit in store.commits(SIGNAL.name) for digest in commit.get("audio_sha256", ())]
    if len(recorded) != len(clips):
        raise StoreError(f"{store.location}: has {len(clips)} clips, and digests of {len(recorded)} audio files")
    pairs = zip(clips, recorded, strict=True)
    return [clip.key for clip, digest in pairs if file_sha256(audio_root / clip.path) != digest]


def _require_planned_for(store: FeatureStore, stack: Stack) -> None:
    planned = {name: dict(spec.provenance) for name, spec in store.plan.encoders.items()}
    if lines := difference(stack.provenance(), planned):
        raise StoreError(f"{store.location}: was planned for other encoders; these differ: {'; '.join(lines)}")


def _block_rows(rows: int) -> int:
    wanted = 1 << (rows // TARGET_BLOCKS).bit_length()
    return min(max(wanted, MIN_BLOCK_ROWS), MAX_BLOCK_ROWS)
