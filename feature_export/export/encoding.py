"""The work left on a store: blocks without a commit, encoded and committed one by one."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from feature_export.encoders import Stack
from feature_export.export.clips import encode_clips
from feature_export.export.limits import Limits
from feature_export.export.planning import require_planned_for, require_versions
from feature_export.export.prompts import encode_prompts
from feature_export.export.rows import Rows
from feature_export.preparation import ClipFile, Preparation, Prepared, prepare_ahead
from tunejury_jax.blocks import SIGNAL, TABLES, Table
from tunejury_jax.store import EncoderSpec, FeatureStore, write_block

__all__ = ["Encoded", "Encoding"]


@dataclass
class Encoded:
    """What was done.

    Attributes:
        rows: Rows encoded.
        failed: Of them, rows that could not be.
        cut: Of them, prompts of which an encoder did not hear the end.
        halved: Batches that did not fit the memory and were halved.
    """

    rows: int = 0
    failed: int = 0
    cut: int = 0
    halved: int = 0


class Encoding:
    """The blocks of one shard that have no commit.

    Args:
        store: A planned store.
        stack: The encoders it was planned for.
        audio_root: Folder that the clips' paths are relative to.
        shard: Worker `i` of `n` takes every n-th block.
        limits: Of processes, memory and batches.

    Raises:
        StoreError: The store was planned for other encoders, or under other versions of the libraries that compute
            the features; says what differs.
        ValueError: The audio root is not a folder, or the shard is not one.
    """

    def __init__(
        self,
        store: FeatureStore,
        stack: Stack,
        audio_root: Path,
        shard: tuple[int, int] = (0, 1),
        limits: Limits | None = None,
    ) -> None:
        require_planned_for(store, stack)
        if not audio_root.is_dir():
            raise ValueError(f"audio_root: {str(audio_root)!r} is not a folder")
        self._store, self._stack, self._audio_root = store, stack, audio_root
        self._limits = limits or Limits()
        self._blocks: dict[Table, list[int]] = {table: self._pending(table, shard) for table in TABLES}
        if any(self._blocks.values()):
            require_versions(store)

    @property
    def rows(self) -> int:
        """How many rows there are to encode."""
        return sum(len(self._numbers(table, block)) for table, blocks in self._blocks.items() for block in blocks)

    def run(self, on_rows: Callable[[int], None] = lambda count: None) -> Encoded:
        """Encodes everything; `on_rows` is called with the number of rows done since the last call.

        Raises:
            StoreError: A block cannot be written.
            OSError: A worker process was killed.
        """
        done = Encoded()
        with closing(self._prepared()) as clips:
            for block in self._blocks["clip"]:
                self._encode_clips(block, clips, done, on_rows)
        prompts = self._store.prompts()
        for block in self._blocks["prompt"]:
            self._encode_prompts(block, prompts, done, on_rows)
        return done

    def _prepared(self) -> Generator[Prepared, None, None]:
        """The clips of all blocks: workers go on with the next block while one is finished."""
        clips, limits = self._store.clips(), self._limits
        rows = (clips[number] for block in self._blocks["clip"] for number in self._numbers("clip", block))
        files = (ClipFile(self._audio_root / clip.path, clip.span) for clip in rows)
        return prepare_ahead(files, Preparation.of(self._stack), limits.workers, limits.memory_bytes // 2)

    def _encode_clips(
        self, block: int, prepared: Iterator[Prepared], done: Encoded, on_rows: Callable[[int], None]
    ) -> None:
        numbers = self._numbers("clip", block)
        rows, clips = Rows(numbers, self._specs("clip")), islice(prepared, len(numbers))
        encoded = encode_clips(numbers, clips, self._stack, self._limits, rows, on_rows)
        self._commit(block, rows, {SIGNAL.name: {"audio_sha256": encoded.audio_sha256}})
        done.rows, done.failed = done.rows + len(numbers), done.failed + len(rows.failed)
        done.halved += encoded.halved

    def _encode_prompts(
        self, block: int, prompts: tuple[str, ...], done: Encoded, on_rows: Callable[[int], None]
    ) -> None:
        numbers = self._numbers("prompt", block)
        rows = Rows(numbers, self._specs("prompt"))
        cut = encode_prompts({number: prompts[number] for number in numbers}, self._stack, rows, on_rows)
        self._commit(block, rows, {name: {"cut_tokens": counts} for name, counts in cut.items() if counts})
        done.rows, done.failed = done.rows + len(numbers), done.failed + len(rows.failed)
        done.cut += len({number for counts in cut.values() for number in counts})

    def _commit(self, block: int, rows: Rows, facts: Mapping[str, Mapping[str, Any]]) -> None:
        for name, values in rows.values.items():
            write_block(self._store, name, block, values, rows.failed, facts.get(name))

    def _specs(self, table: Table) -> dict[str, EncoderSpec]:
        return {name: spec for name, spec in self._store.plan.encoders.items() if spec.block.table == table}

    def _pending(self, table: Table, shard: tuple[int, int]) -> list[int]:
        """Blocks that any encoder of the table lacks: a clip is decoded once for all of them."""
        return sorted({block for name in self._specs(table) for block in self._store.pending(name, shard)})

    def _numbers(self, table: Table, block: int) -> range:
        return range(*self._store.bounds(next(iter(self._specs(table))), block))
