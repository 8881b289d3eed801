"""A dataset that grows by parts: sealed stores side by side, read as one (`dataset.json`).

A row of a part is row `row_base + row` of the dataset. Adding a part moves no row that is there and writes into no
part; it only lists one store more. All parts have the same encoders. A clip of two parts has a row in each; a pair
has one id in all of them.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import tensorstore as ts

from tunejury_jax.pairs import Clip
from tunejury_jax.store import kv
from tunejury_jax.store.feature_store import FeatureStore
from tunejury_jax.store.kv import StoreError
from tunejury_jax.store.plan import Plan, TableSpec, canonical_json, difference
from tunejury_jax.store.slabs import Slab
from tunejury_jax.store.tables import PairArrays

__all__ = ["GrownStore", "grow", "open_dataset", "repeated_clips"]

FILE, FORMAT, VERSION = "dataset.json", "tunejury-dataset", 1
MAX_PARTS = 1024
PATH = re.compile(r"(?=.{1,200}\Z)[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
TABLES = ("clip", "prompt", "pair")


@dataclass(frozen=True)
class Part:
    """A sealed store of a dataset: where it lies below it, its first row in each table, and what it was."""

    path: str
    row_base: Mapping[str, int]
    sha256: str

    @classmethod
    def from_json(cls, document: Any) -> "Part":
        fields = {"path": str, "row_base": dict, "sha256": str}
        if not isinstance(document, dict) or {k: type(v) for k, v in document.items()} != fields:
            raise StoreError(f"{FILE}: a part is {str(document)[:200]}, expected path, row_base and sha256")
        if {type(base) for base in document["row_base"].values()} - {int}:
            raise StoreError(f"{FILE}: row_base is {str(document['row_base'])[:200]}, expected whole numbers")
        return cls(_checked_path(document["path"]), document["row_base"], document["sha256"])


class GrownStore(FeatureStore):
    """Sealed parts as one sealed store. Its commits are those of its parts, with their numbers of blocks and rows.

    Raises:
        StoreError: A part is missing, is not sealed, was sealed anew, has other encoders than the first, or does not
            begin where the parts before it end.
    """

    def __init__(self, location: str, root: ts.KvStore, parts: Sequence[Part]) -> None:
        self._listed = tuple(parts)
        self._stores = [_open_part(f"{location.rstrip('/')}/{part.path}") for part in parts]
        _require_same_encoders(self._stores)
        _require_what_was_listed(parts, self._stores)
        super().__init__(location, root, _merged([store.plan for store in self._stores]))

    @property
    def sealed(self) -> bool:
        return True

    @property
    def sha256(self) -> str:
        return hashlib.sha256(canonical_json([part.sha256 for part in self._listed])).hexdigest()

    def clips(self) -> tuple[Clip, ...]:
        return tuple(clip for store in self._stores for clip in store.clips())

    def prompts(self) -> tuple[str, ...]:
        return tuple(prompt for store in self._stores for prompt in store.prompts())

    def pair_records(self) -> list[dict[str, Any]]:
        """Id and strings of each pair.

        Raises:
            StoreError: Two parts have a pair of the same id.
        """
        records = [record for store in self._stores for record in store.pair_records()]
        if twice := [name for name, count in Counter(r["pair_id"] for r in records).items() if count > 1]:
            raise StoreError(f"{self.location}: {len(twice)} pairs are in more than one part: {sorted(twice)[:5]}")
        return records

    def pair_arrays(self) -> PairArrays:
        parts = zip(self._listed, self._stores, strict=True)
        return PairArrays(*map(np.concatenate, zip(*(self._shifted(*part) for part in parts), strict=True)))

    def bounds(self, encoder: str, block: int) -> tuple[int, int]:
        raise StoreError(f"{self.location}: a dataset has no blocks of its own, its parts have")

    def pending(self, encoder: str, shard: tuple[int, int] = (0, 1)) -> list[int]:
        return []

    def commits(self, encoder: str) -> Iterator[dict[str, Any]]:
        return (commit for store in self._stores for commit in store.commits(encoder))

    def failures(self, encoder: str) -> dict[int, str]:
        bases = self._bases(encoder)
        return {base + row: why for base, store in bases for row, why in store.failures(encoder).items()}

    def slabs(self, encoder: str) -> Iterator[Slab]:
        return (Slab(base + low, rows) for base, store in self._bases(encoder) for low, rows in store.slabs(encoder))

    def digest(self) -> dict[str, Any]:
        raise StoreError(f"{self.location}: a dataset has no seal of its own, its parts have")

    def verify(self) -> dict[str, Any]:
        """Verifies every part; returns their seals."""
        self.pair_records()
        return {part.path: store.verify() for part, store in zip(self._listed, self._stores, strict=True)}

    def _bases(self, encoder: str) -> list[tuple[int, FeatureStore]]:
        """First row and store of each part, for the rows of an encoder."""
        table = self.plan.encoders[encoder].block.table
        return [(part.row_base[table], store) for part, store in zip(self._listed, self._stores, strict=True)]

    def _shifted(self, part: Part, store: FeatureStore) -> PairArrays:
        """The pairs of a part, with rows and codes of the dataset; prompt -1 stays none."""
        arrays = store.pair_arrays()
        base = np.array([part.row_base[table] for table in ("clip", "clip", "prompt")], np.int32)
        codes = np.array([self.plan.sources.index(source) for source in store.plan.sources], np.uint8)
        return arrays._replace(
            index=np.where(arrays.index < 0, arrays.index, arrays.index + base), source=codes[arrays.source]
        )


def open_dataset(location: str) -> GrownStore:
    """Opens a dataset, all of whose parts are sealed.

    Raises:
        StoreError: No dataset there, or as `GrownStore`.
    """
    root = kv.open_root(location)
    return GrownStore(location, root, _read_parts(location, root))


def grow(location: str, part: str) -> GrownStore:
    """Adds a sealed store to a dataset, or begins one; adding it again changes nothing.

    Args:
        location: Folder or bucket URL of the dataset.
        part: Folder or bucket URL of the store, below it.

    Returns:
        The dataset, with the part.

    Raises:
        StoreError: The part is not below the dataset, is not sealed, has other encoders or a pair that is there
            already; or someone else grew the dataset meanwhile.
    """
    root, path = kv.open_root(location), _path_below(location, part)
    before = kv.generation(root, FILE)
    parts = _read_parts(location, root) if kv.exists(root, FILE) else ()
    if path in [listed.path for listed in parts]:
        return GrownStore(location, root, parts)
    base = GrownStore(location, root, parts).plan.tables if parts else {}
    added = Part(path, {t: base[t].rows if base else 0 for t in TABLES}, _open_part(part).sha256)
    grown = GrownStore(location, root, (*parts, added))
    grown.pair_records()  # refuses a pair that is there already
    if not kv.put_if_unchanged(root, FILE, canonical_json(_document((*parts, added))), before):
        raise StoreError(f"{location}: someone else grew it meanwhile; grow it again")
    return grown


def repeated_clips(store: FeatureStore) -> int:
    """How many rows of clips have a clip that another row has too: it is in several parts."""
    counts = Counter(clip.key for clip in store.clips())
    return sum(count - 1 for count in counts.values())


def _document(parts: Sequence[Part]) -> dict[str, Any]:
    listed = [{"path": part.path, "row_base": dict(part.row_base), "sha256": part.sha256} for part in parts]
    return {"format": FORMAT, "version": VERSION, "parts": listed}


def _read_parts(location: str, root: ts.KvStore) -> tuple[Part, ...]:
    document = kv.read_json(root, FILE)
    if document is None:
        raise StoreError(f"{location}: no {FILE}: not a dataset")
    if (document.get("format"), document.get("version")) != (FORMAT, VERSION):
        raise StoreError(f"{FILE}: expected format {FORMAT!r} and version {VERSION}")
    parts = document.get("parts")
    if not isinstance(parts, list) or not 1 <= len(parts) <= MAX_PARTS:
        raise StoreError(f"{FILE}: expected a list of 1 to {MAX_PARTS} parts")
    found = tuple(map(Part.from_json, parts))
    if len({part.path for part in found}) < len(found):
        raise StoreError(f"{FILE}: lists a part twice")
    return found


def _checked_path(path: str) -> str:
    if not PATH.fullmatch(path):
        raise StoreError(f"{FILE}: path {path[:200]!r} is not one of names of A-Z a-z 0-9 . _ - below the dataset")
    return path


def _path_below(location: str, part: str) -> str:
    """The path of a part, as seen from its dataset."""
    above, below = (kv.open_root(place).spec().to_json() for place in (location, part))
    folder, path = above.pop("path", ""), below.pop("path", "")
    if above != below or not path.startswith(folder):
        raise StoreError(f"{part}: is not below {location}, where the parts of a dataset lie")
    return _checked_path(path.removeprefix(folder).rstrip("/"))


def _open_part(location: str) -> FeatureStore:
    if not kv.exists(kv.open_root(location), "store.json"):  # a dataset in a dataset is none either
        raise StoreError(f"{location}: no store.json: a part of a dataset is a feature store")
    return FeatureStore.open_sealed(location)


def _require_same_encoders(stores: Sequence[FeatureStore]) -> None:
    first, *others = ({name: spec.to_json() for name, spec in store.plan.encoders.items()} for store in stores)
    for store, encoders in zip(stores[1:], others, strict=True):
        if lines := difference(encoders, first):
            raise StoreError(f"{store.location}: has other encoders than the first part: {'; '.join(lines)}")


def _require_what_was_listed(parts: Sequence[Part], stores: Sequence[FeatureStore]) -> None:
    ends = {t: [0, *accumulate(store.plan.tables[t].rows for store in stores)] for t in TABLES}
    for number, (part, store) in enumerate(zip(parts, stores, strict=True)):
        expected = {table: rows[number] for table, rows in ends.items()}
        if part.row_base != expected:
            raise StoreError(f"{FILE}: row_base of {part.path} is {dict(part.row_base)}, expected {expected}")
        if part.sha256 != store.sha256:
            raise StoreError(f"{store.location}: is another store than was added: sealed anew, or replaced")


def _merged(plans: Sequence[Plan]) -> Plan:
    tables = {name: [plan.tables[name] for plan in plans] for name in TABLES}
    return Plan(
        block_rows=plans[0].block_rows,
        tables={name: TableSpec(sum(s.rows for s in specs), _sha256(specs)) for name, specs in tables.items()},
        encoders=plans[0].encoders,
        sources=tuple(dict.fromkeys(source for plan in plans for source in plan.sources)),
    )


def _sha256(specs: Sequence[TableSpec]) -> str:
    return hashlib.sha256(canonical_json([spec.sha256 for spec in specs])).hexdigest()
