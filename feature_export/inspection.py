"""A look into a store: what it holds, how far it is, what failed and why."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from feature_export.weights.published import publication_of_block
from tunejury_jax.blocks import FACTS, SIGNAL
from tunejury_jax.console import make_console
from tunejury_jax.pairs import LABELS, SPLITS
from tunejury_jax.store import FeatureStore

__all__ = ["show"]

SHOWN_FAILURES = 20
SHOWN_PAIRS = 3
SHOWN_DIGITS = 12


def show(location: str) -> None:
    """Prints a store: encoders, pairs by source, split and label, durations, failed files, a few pairs."""
    store, console = FeatureStore.open(location), make_console()
    state = "sealed" if store.sealed else "not sealed"
    tables = ", ".join(f"{spec.rows} {name}s" for name, spec in store.plan.tables.items())
    console.print(f"{location}: {state}; {tables}; blocks of {store.plan.block_rows} rows", soft_wrap=True)
    console.print(_encoders(store))
    for line in _provenance(store):
        console.print(line, soft_wrap=True)
    console.print(_pairs(store))
    console.print(_durations(store))
    for line in (*_cut_prompts(store), *_failures(store)):
        console.print(line, soft_wrap=True)
    console.print(_sample(store))


def _encoders(store: FeatureStore) -> Table:
    table = Table(
        "encoder", "table", "dim", "dtype", "revision", "fingerprint", "blocks", "failed rows", title="Encoders"
    )
    for name, spec in store.plan.encoders.items():
        blocks, revision = store.plan.blocks(name), str(spec.provenance.get("revision", ""))
        counts = (f"{blocks - len(store.pending(name))}/{blocks}", str(len(store.failures(name))))
        table.add_row(name, spec.block.table, str(spec.block.dim), spec.dtype, revision, spec.fingerprint, *counts)
    return table


def _provenance(store: FeatureStore) -> Iterable[str]:
    """What made each block: whose weights, by which licence, and what else changes its numbers."""
    yield "Provenance:"
    for name, spec in store.plan.encoders.items():
        facts = [*_origin(name, spec.provenance), *_switches(spec.provenance)]
        yield f"  {name}: {'; '.join(facts)}"


def _origin(name: str, provenance: Mapping[str, Any]) -> Iterable[str]:
    if "weights" not in provenance:
        yield "no weights"
        return
    published = publication_of_block(name)
    licence = published.licence if published else "licence not known"
    yield f"weights {provenance['weights']} ({licence})"
    yield f"weights revision {provenance.get('weights_revision', 'unrecorded')}"
    yield f"sha256 {str(provenance.get('weights_sha256', 'unrecorded'))[:SHOWN_DIGITS]}"


def _switches(provenance: Mapping[str, Any]) -> Iterable[str]:
    if "signal_path" in provenance:
        yield "signal path " + ", ".join(
            f"{switch} {value}" for switch, value in sorted(provenance["signal_path"].items())
        )
    yield from (f"{field} {provenance[field]}" for field in ("pooling", "dtype", "backend") if field in provenance)


def _pairs(store: FeatureStore) -> Table:
    arrays = store.pair_arrays()
    counts = Counter(zip(arrays.source.tolist(), arrays.split.tolist(), arrays.label.tolist(), strict=True))
    table = Table("source", "split", *LABELS, "no prompt", title="Pairs")
    for source, split in sorted({(source, split) for source, split, _ in counts}):
        labels = [str(counts[source, split, label]) for label in range(len(LABELS))]
        here = (arrays.source == source) & (arrays.split == split)
        table.add_row(store.plan.sources[source], SPLITS[split], *labels, str(int((arrays.index[here, 2] < 0).sum())))
    return table


def _durations(store: FeatureStore) -> str:
    if SIGNAL.name not in store.plan.encoders:
        return "Durations: not recorded in this store"
    if store.pending(SIGNAL.name):
        return "Durations: not known before all clips are encoded"
    features = store.load(SIGNAL.name)
    seconds = features.values[features.ok, FACTS.index("duration_s")].astype(np.float64)
    if not len(seconds):
        return "Durations: no clip could be decoded"
    low, middle, high = np.quantile(seconds, [0, 0.5, 1])
    return f"Durations: {low:.2f} to {high:.2f} s, median {middle:.2f} s, {seconds.sum() / 3600:.2f} h in all"


def _cut_prompts(store: FeatureStore) -> Iterable[str]:
    for name, spec in store.plan.encoders.items():
        if spec.block.table == "prompt" and (cut := sum(len(c.get("cut_tokens", {})) for c in store.commits(name))):
            yield f"Cut: {cut} prompts are longer than {name} reads; their ends were not heard"


def _failures(store: FeatureStore) -> Iterable[str]:
    keys: dict[str, Sequence[str]] = {"clip": [clip.key for clip in store.clips()], "prompt": store.prompts()}
    failed: dict[tuple[str, int], str] = {}
    for name, spec in store.plan.encoders.items():
        failed |= {(spec.block.table, row): reason for row, reason in store.failures(name).items()}
    yield f"Failed: {len(failed)}" + (f", the first {SHOWN_FAILURES}:" if len(failed) > SHOWN_FAILURES else "")
    for (table, row), reason in sorted(failed.items())[:SHOWN_FAILURES]:
        yield f"  {table} {keys[table][row]}: {reason}"


def _sample(store: FeatureStore) -> Table:
    arrays, records, clips = store.pair_arrays(), store.pair_records(), store.clips()
    table = Table("pair", "a", "b", "label", "prompt", title="A sample")
    for row in np.linspace(0, len(records) - 1, min(SHOWN_PAIRS, len(records)), dtype=int):
        a, b, _ = arrays.index[row]
        label = LABELS[arrays.label[row]]
        table.add_row(records[row]["pair_id"], clips[a].key, clips[b].key, label, records[row]["prompt"])
    return table
