"""What the export commands do, with their progress and what they print."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from feature_export.audio import SignalPath
from feature_export.demo.config import DemoConfig
from feature_export.demo.dataset import demo_pairs, demo_takes, write_demo
from feature_export.encoders import load_stack, stack_from_provenance
from feature_export.export import Encoding, changed_audio, plan
from tunejury_jax.blocks import SIGNAL
from tunejury_jax.pairs import Pair, Split, read_pairs
from tunejury_jax.progress import progress
from tunejury_jax.splits import assign_by_clip, assign_listed, read_split
from tunejury_jax.store import FeatureStore, seal_store

__all__ = ["demo", "encode", "export", "plan_source", "seal", "verify"]


def plan_source(
    pairs: Path, splits: Sequence[Path], encoders: Sequence[str], out: str, block_rows: int | None
) -> FeatureStore:
    """Plans a store for a pairs file."""
    assigned = _with_splits(read_pairs(pairs), splits)
    store = plan(assigned, load_stack(encoders, SignalPath()), out, block_rows)
    counts = Counter(pair.split for pair in assigned)
    tables = {name: spec.rows for name, spec in store.plan.tables.items()}
    print(f"Planned {out}: {tables}, splits {dict(counts)}, blocks of {store.plan.block_rows} rows", file=sys.stderr)
    return store


def export(
    pairs: Path, splits: Sequence[Path], encoders: Sequence[str], out: str, audio_root: Path, block_rows: int | None
) -> int:
    """Plans, encodes and seals."""
    plan_source(pairs, splits, encoders, out, block_rows)
    return encode(out, audio_root, "0/1") or seal(out)


def encode(store: str, audio_root: Path, shard: str) -> int:
    """Encodes one shard; 1 if not a single clip of it could be encoded."""
    opened = FeatureStore.open(store)
    stack = stack_from_provenance({name: spec.provenance for name, spec in opened.plan.encoders.items()})
    # A core a clip: torch's own threads gain nothing on clips this short, and spin where cores are shared.
    torch.set_num_threads(1)
    own = _parse_shard(shard)
    work = Encoding(opened, stack, audio_root, own, threads=os.cpu_count() or 1)
    with progress("encode", work.rows, "rows") as advance:
        done = work.run(advance)
    print(f"Encoded {done.rows} rows, {done.failed} of them failed", file=sys.stderr)
    if done.failed:
        print(f"See python -m feature_export inspect --store {store}", file=sys.stderr)
    if no_clip := _no_clip(opened, own):
        print("No clip could be encoded: mend the cause, delete the store and export again", file=sys.stderr)
    return int(no_clip)


def seal(store: str) -> int:
    """Verifies and seals."""
    sealed = seal_store(FeatureStore.open(store))
    for name, encoder in sealed["encoders"].items():
        print(f"Sealed {name}: {encoder['rows']} rows, {len(encoder['failed_rows'])} failed", file=sys.stderr)
    print(store)
    return 0


def verify(store: str, audio_root: Path | None) -> int:
    """Compares a store with its seal, and its audio with what was encoded; 1 if a file differs."""
    opened = FeatureStore.open(store)
    opened.verify()
    print(f"{store}: every byte as sealed")
    changed = changed_audio(opened, audio_root) if audio_root else []
    for key in changed:
        print(f"changed since it was encoded: {key}")
    return int(bool(changed))


def demo(out: Path, songs: int, seed: int) -> int:
    """Synthesises the demo data set and exports it."""
    config = DemoConfig(songs=songs, seed=seed)
    clips = demo_takes(config, demo_pairs(config))
    with progress("synthesise", len(clips), "clips") as advance:
        pairs = write_demo(out, config, lambda done, total: advance(1))
    return export(pairs, (), ("mel",), str(out / "store"), out / "audio", None)


def _no_clip(store: FeatureStore, shard: tuple[int, int]) -> bool:
    """Whether a shard has clips and all failed, as with a wrong audio root; in this run or one that it continues."""
    index, count = shard
    own = [commit for commit in store.commits(SIGNAL.name) if commit["block"] % count == index]
    rows = sum(high - low for low, high in (store.bounds(SIGNAL.name, commit["block"]) for commit in own))
    return 0 < rows == sum(len(commit["failed"]) for commit in own)


def _with_splits(pairs: Sequence[Pair], files: Sequence[Path]) -> list[Pair]:
    if files:
        return assign_listed(pairs, _merged(files))
    if any(pair.split for pair in pairs):
        return list(pairs)
    print("No splits given: clips are split 80/10/10, none heard in two splits", file=sys.stderr)
    return assign_by_clip(pairs)


def _merged(files: Sequence[Path]) -> dict[str, Split]:
    listed: dict[str, Split] = {}
    for file in files:
        more = read_split(file)
        if twice := sorted(listed.keys() & more.keys()):
            raise ValueError(f"{file}: pairs {twice[:3]} are in another split file too")
        listed |= more
    return listed


def _parse_shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise ValueError(f"shard: got {text!r}, expected i/n with 0 <= i < n, for example 0/4")
    return int(index), int(count)
