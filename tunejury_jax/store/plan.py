"""The plan of a store: what it will hold, fixed before the first file is read (`store.json`).

A plan names the tables with their number of rows and a digest of their content, and the encoders with their
width, type and provenance. Planning the same pairs with the same encoders gives the same plan, so a rerun is
recognised and anything else is refused.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunejury_jax.blocks import TABLES, Block
from tunejury_jax.errors import one_of
from tunejury_jax.pairs import LABELS, SPLITS
from tunejury_jax.store.kv import StoreError

__all__ = ["DTYPES", "EncoderSpec", "Plan", "TableSpec", "canonical_json", "difference", "fingerprint"]

FORMAT, VERSION = "tunejury-feature-store", 1
DTYPES = ("float32", "float16")
MAX_DIM = 1 << 16
MAX_BLOCK_BYTES = 256 << 20
MAX_SOURCES = 255
MAX_BLOCKS = 1 << 22
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
NOTHING = "(nothing)"


def canonical_json(document: Any) -> bytes:
    """One byte string per value: sorted keys, no white space, UTF-8."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def fingerprint(provenance: Mapping[str, Any]) -> str:
    """The first 16 hex digits of the sha256 of the canonical JSON of an encoder's provenance."""
    return hashlib.sha256(canonical_json(provenance)).hexdigest()[:16]


def difference(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Lists where two JSON documents differ, as `path: ours, not theirs`."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        below = {key: f"{path}.{key}".lstrip(".") for key in sorted({*ours, *theirs})}
        sides = ((ours.get(key, NOTHING), theirs.get(key, NOTHING), name) for key, name in below.items())
        return [line for side in sides for line in difference(*side)]
    return [] if ours == theirs else [f"{path}: {ours!r}, not {theirs!r}"]


@dataclass(frozen=True)
class EncoderSpec:
    """One feature array of a store: the block it fills, its type on disk and everything that made the numbers."""

    block: Block
    provenance: Mapping[str, Any]
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.block.name):
            raise StoreError(f"encoder: got {self.block.name!r}, accepted are 1 to 64 of A-Z a-z 0-9 _ -")
        one_of(f"encoders.{self.block.name}.dtype", self.dtype, DTYPES)
        one_of(f"encoders.{self.block.name}.table", self.block.table, TABLES)
        if not 1 <= self.block.dim <= MAX_DIM:
            raise StoreError(f"encoders.{self.block.name}.dim: got {self.block.dim}, accepted are 1 to {MAX_DIM}")

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.provenance)

    def row_bytes(self) -> int:
        return self.block.dim * np.dtype(self.dtype).itemsize

    def to_json(self) -> dict[str, Any]:
        return {
            "table": self.block.table,
            "dim": self.block.dim,
            "dtype": self.dtype,
            "fingerprint": self.fingerprint,
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_json(cls, name: str, document: Mapping[str, Any]) -> "EncoderSpec":
        if not isinstance(document["provenance"], dict):
            raise StoreError(f"encoders.{name}.provenance: expected an object, got {document['provenance']!r}")
        block = Block(name, _count(f"encoders.{name}.dim", document["dim"]), document["table"])
        spec = cls(block, document["provenance"], document["dtype"])
        if spec.fingerprint != document["fingerprint"]:
            raise StoreError(f"encoders.{name}.provenance: was edited, it has not {document['fingerprint']!r}")
        return spec


@dataclass(frozen=True)
class TableSpec:
    """Number of rows of a table and the sha256 of what they are."""

    rows: int
    sha256: str


@dataclass(frozen=True)
class Plan:
    """What a store holds. `environment` (library versions) is recorded and never compared."""

    block_rows: int
    tables: Mapping[str, TableSpec]
    encoders: Mapping[str, EncoderSpec]
    sources: tuple[str, ...]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.block_rows < 1:
            raise StoreError(f"block_rows: got {self.block_rows}, expected at least 1")
        if not 1 <= len(self.sources) <= MAX_SOURCES:
            raise StoreError(f"sources: got {len(self.sources)} names, accepted are 1 to {MAX_SOURCES}")
        for name, spec in self.encoders.items():
            if self.block_rows * spec.row_bytes() > MAX_BLOCK_BYTES:
                raise StoreError(f"{name}: a block of {self.block_rows} rows is over {MAX_BLOCK_BYTES} bytes")
            if self.blocks(name) > MAX_BLOCKS:
                raise StoreError(f"{name}: {self.blocks(name)} blocks of {self.block_rows} rows are over {MAX_BLOCKS}")

    def rows(self, encoder: str) -> int:
        """How many rows an encoder fills."""
        return self.tables[self.encoders[one_of("encoder", encoder, tuple(self.encoders))].block.table].rows

    def blocks(self, encoder: str) -> int:
        """How many blocks those rows make, the last one padded."""
        return -(-self.rows(encoder) // self.block_rows)

    def capacity(self, encoder: str) -> int:
        """Rows of the array on disk: whole blocks, so that every write is one unconditional object."""
        return self.blocks(encoder) * self.block_rows

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "block_rows": self.block_rows,
            "tables": {name: {"rows": t.rows, "sha256": t.sha256} for name, t in sorted(self.tables.items())},
            "encoders": {name: spec.to_json() for name, spec in sorted(self.encoders.items())},
            "codes": {"source": list(self.sources), "label": list(LABELS), "split": list(SPLITS)},
            "environment": dict(self.environment),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Plan":
        """Checks a `store.json` and makes a plan of it.

        Raises:
            StoreError: Not a store, another version, or any value outside what a store may hold.
        """
        if document.get("format") != FORMAT:
            raise StoreError(f"store.json: format is {document.get('format')!r}, expected {FORMAT!r}")
        if document.get("version") != VERSION:
            raise StoreError(f"store.json: version is {document.get('version')!r}, accepted is {VERSION}")
        try:
            return cls._parse(document)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreError(f"store.json: a field is missing or of the wrong kind: {error!r}") from error

    @classmethod
    def _parse(cls, document: Mapping[str, Any]) -> "Plan":
        codes = document["codes"]
        if (codes["label"], codes["split"]) != (list(LABELS), list(SPLITS)):
            raise StoreError(f"store.json: codes are {codes}, expected label {LABELS} and split {SPLITS}")
        return cls(
            block_rows=_count("block_rows", document["block_rows"]),
            tables={name: _table(name, document["tables"][name]) for name in (*TABLES, "pair")},
            encoders={name: EncoderSpec.from_json(name, spec) for name, spec in document["encoders"].items()},
            sources=tuple(str(source) for source in codes["source"]),
            environment=dict(document.get("environment", {})),
        )


def _table(name: str, document: Mapping[str, Any]) -> TableSpec:
    return TableSpec(_count(f"tables.{name}.rows", document["rows"]), str(document["sha256"]))


def _count(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 40:
        raise StoreError(f"store.json: {field} is {value!r}, expected a whole number from 0 to 2^40")
    return value
