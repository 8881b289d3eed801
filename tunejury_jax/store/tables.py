"""The tables of a store: which clip, prompt and pair each row number means.

Rows are sorted clip keys and sorted distinct prompts, so the same pairs always give the same rows. The strings live
in parquet, for planning and reports; training opens only the integer arrays of `PairArrays`. "No prompt" is the
index -1, never a stored row of zeros.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int32, UInt8

from tunejury_jax.pairs import LABELS, SPLITS, Clip, Pair
from tunejury_jax.store.kv import StoreError
from tunejury_jax.store.plan import TableSpec, canonical_json

__all__ = ["PairArrays", "Tables", "parse_clips", "parse_rows", "table_specs"]

MAX_PARQUET_BYTES = 4 << 30
PAIR_COLUMNS = ("question", "prompt", "lyrics", "system_a", "system_b", "confidence", "rater", "time")


class PairArrays(NamedTuple):
    """The pairs of a store as integers.

    Attributes:
        index: Rows of clip a, clip b and prompt; prompt -1 where there is none.
        label: Position in `LABELS`.
        source: Position in the plan's `sources`.
        split: Position in `SPLITS`.
    """

    index: Int32[np.ndarray, "pairs 3"]
    label: UInt8[np.ndarray, " pairs"]
    source: UInt8[np.ndarray, " pairs"]
    split: UInt8[np.ndarray, " pairs"]

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for array in self:
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Tables:
    """Clips, prompts and pairs in row order."""

    clips: tuple[Clip, ...]
    prompts: tuple[str, ...]
    pairs: tuple[Pair, ...]

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> "Tables":
        """Numbers the distinct clips and non-blank prompts of some pairs.

        Raises:
            StoreError: Two different clips have one key.
        """
        clips: dict[str, Clip] = {}
        for clip in (clip for pair in pairs for clip in (pair.clip_a, pair.clip_b)):
            if clips.setdefault(clip.key, clip) != clip:
                raise StoreError(f"clips: {clip} and {clips[clip.key]} would both be {clip.key!r}")
        prompts = {pair.prompt for pair in pairs if pair.prompt.strip()}
        return cls(tuple(clips[key] for key in sorted(clips)), tuple(sorted(prompts)), tuple(pairs))

    @property
    def sources(self) -> tuple[str, ...]:
        """Data sets in order of first occurrence."""
        return tuple(dict.fromkeys(pair.source for pair in self.pairs))

    def arrays(self) -> PairArrays:
        clip_row = {clip.key: row for row, clip in enumerate(self.clips)}
        prompt_row = {prompt: row for row, prompt in enumerate(self.prompts)}
        source_code = {source: code for code, source in enumerate(self.sources)}
        index = [(clip_row[p.clip_a.key], clip_row[p.clip_b.key], prompt_row.get(p.prompt, -1)) for p in self.pairs]
        return PairArrays(
            np.array(index, np.int32).reshape(-1, 3),
            np.array([LABELS.index(p.label) for p in self.pairs], np.uint8),
            np.array([source_code[p.source] for p in self.pairs]).astype(np.uint8),  # a plan refuses too many
            np.array([SPLITS.index(p.split or "none") for p in self.pairs], np.uint8),
        )

    def specs(self) -> dict[str, TableSpec]:
        """Number of rows and digest of each table."""
        return table_specs(self.clips, self.prompts, self.records(), self.arrays())

    def records(self) -> list[dict[str, Any]]:
        """Id and strings of each pair."""
        return [{"pair_id": p.id} | {name: getattr(p, name) for name in PAIR_COLUMNS} for p in self.pairs]

    def to_parquet(self) -> dict[str, bytes]:
        """The three files of `tables/`, by name."""
        records = self.records()
        return {
            "clips": _parquet(_clip_columns(self.clips)),
            "prompts": _parquet({"text": pa.array(self.prompts, pa.string())}),
            "pairs": _parquet({name: [record[name] for record in records] for name in ("pair_id", *PAIR_COLUMNS)}),
        }


def table_specs(
    clips: Sequence[Clip], prompts: Sequence[str], records: Sequence[Mapping[str, Any]], arrays: PairArrays
) -> dict[str, TableSpec]:
    """Number of rows and digest of the three tables, as a plan records them."""
    return {
        "clip": TableSpec(len(clips), _sha256([clip.key for clip in clips])),
        "prompt": TableSpec(len(prompts), _sha256(list(prompts))),
        "pair": TableSpec(len(records), _sha256([[dict(record) for record in records], arrays.sha256()])),
    }


def _clip_columns(clips: Sequence[Clip]) -> dict[str, Any]:
    spans = [clip.span or (None, None) for clip in clips]
    return {
        "key": [clip.key for clip in clips],
        "source": [clip.source for clip in clips],
        "path": [clip.path for clip in clips],
        "begin_s": pa.array([begin for begin, _ in spans], pa.float64()),
        "end_s": pa.array([end for _, end in spans], pa.float64()),
    }


def parse_clips(data: bytes) -> tuple[Clip, ...]:
    """Reads the clip table back.

    Raises:
        StoreError: Not a parquet file, or a column is missing.
    """
    rows = parse_rows("clips", data, ("source", "path", "begin_s", "end_s"))
    spans = [None if row["begin_s"] is None else (row["begin_s"], row["end_s"]) for row in rows]
    return tuple(Clip(row["source"], row["path"], span) for row, span in zip(rows, spans, strict=True))


def parse_rows(name: str, data: bytes, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Reads some columns of a parquet file as records."""
    try:
        # Without Arrow's thread pools: left idle, they now and then abort the process at its end.
        table = pq.ParquetFile(io.BytesIO(data), pre_buffer=False).read(list(columns), use_threads=False)
        return table.select(list(columns)).to_pylist()
    except (pa.ArrowException, KeyError) as error:
        raise StoreError(f"tables/{name}: not readable: {error}") from error


def _parquet(columns: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def _sha256(document: Any) -> str:
    return hashlib.sha256(canonical_json(document)).hexdigest()
