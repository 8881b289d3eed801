"""What the export commands do, with their progress and what they print."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from feature_export.audio import SignalPath
from feature_export.demo.config import DemoConfig
from feature_export.demo.dataset import demo_pairs, demo_takes, write_demo
from feature_export.encoders import FAMILIES, Compute, Stack, load_stack, stack_from_provenance
from feature_export.export import Encoding, Limits, changed_audio, plan
from feature_export.options import Running, Source
from feature_export.weights.licences import require_accepted
from tunejury_jax.blocks import SIGNAL
from tunejury_jax.pairs import Pair, Split, read_pairs
from tunejury_jax.progress import progress, say
from tunejury_jax.shards import parse_shard
from tunejury_jax.splits import assign_by_clip, assign_listed, read_split
from tunejury_jax.store import FeatureStore, grow, repeated_clips, seal_store
from tunejury_jax.workers import worker_count

__all__ = ["demo", "encode", "export", "grow_dataset", "plan_source", "seal", "verify"]


def plan_source(source: Source) -> FeatureStore:
    """Plans a store for a pairs file."""
    return _planned(source, None)[0]


def export(source: Source, running: Running) -> int:
    """Plans, encodes and seals."""
    store, stack = _planned(source, running.device)
    return _encode(store, stack, running, (0, 1)) or seal(source.out)


def encode(store: str, running: Running, shard: str) -> int:
    """Encodes one shard; 1 if not a single clip of it could be encoded."""
    own, opened = parse_shard(shard), FeatureStore.open(store)
    provenance = {name: spec.provenance for name, spec in opened.plan.encoders.items()}
    require_accepted(provenance)
    return _encode(opened, stack_from_provenance(provenance, running.device), running, own)


def seal(store: str) -> int:
    """Verifies and seals."""
    sealed = seal_store(FeatureStore.open(store))
    for name, encoder in sealed["encoders"].items():
        say(f"Sealed {name}: {encoder['rows']} rows, {len(encoder['failed_rows'])} failed")
    print(store)
    return 0


def grow_dataset(dataset: str, part: str) -> int:
    """Adds a sealed store to a data set."""
    grown = grow(dataset, part)
    rows = {name: spec.rows for name, spec in grown.plan.tables.items()}
    say(f"{dataset}: {rows}; {repeated_clips(grown)} clip rows repeat a clip of another part")
    print(dataset)
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
    return export(Source(pairs=pairs, out=str(out / "store")), Running(audio_root=out / "audio"))


def _planned(source: Source, device: str | None) -> tuple[FeatureStore, Stack]:
    """The store, and the encoders it is planned for: loaded first, so weights that are none leave no store behind."""
    assigned = _with_splits(read_pairs(source.pairs), source.splits)
    path = SignalPath(source.crop, source.train16k, source.int16, source.crop_seed)
    compute = Compute.best(source.autocast) if device is None else Compute(device, source.autocast)
    require_accepted(block for name in source.encoders if name in FAMILIES for block in FAMILIES[name].blocks)
    stack = load_stack(source.encoders, path, compute)
    store = plan(assigned, stack, source.out, source.block_rows, source.dtype)
    counts = Counter(pair.split for pair in assigned)
    tables = {name: spec.rows for name, spec in store.plan.tables.items()}
    say(f"Planned {source.out}: {tables}, splits {dict(counts)}, blocks of {store.plan.block_rows} rows")
    return store, stack


def _encode(store: FeatureStore, stack: Stack, running: Running, shard: tuple[int, int]) -> int:
    work = Encoding(store, stack, running.audio_root, shard, _limits(running))
    with progress("encode", work.rows, "rows") as advance:
        done = work.run(advance)
    say(f"Encoded {done.rows} rows, {done.failed} of them failed")
    if done.cut:
        say(f"{done.cut} prompts are longer than an encoder reads; their ends were not heard")
    if done.halved:
        say(f"{done.halved} batches did not fit the memory and were halved; a smaller --batch-seconds is faster")
    if done.failed:
        say(f"See python -m feature_export inspect --store {store.location}")
    if no_clip := _no_clip(store, shard):
        say("No clip could be encoded: mend the cause, delete the store and export again")
    return int(no_clip)


def _limits(running: Running) -> Limits:
    workers = worker_count(running.workers)
    return Limits(workers, running.memory_mib << 20, running.batch_seconds)


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
    say("No splits given: clips are split 80/10/10, none heard in two splits")
    return assign_by_clip(pairs)


def _merged(files: Sequence[Path]) -> dict[str, Split]:
    listed: dict[str, Split] = {}
    for file in files:
        more = read_split(file)
        if twice := sorted(listed.keys() & more.keys()):
            raise ValueError(f"{file}: pairs {twice[:3]} are in another split file too")
        listed |= more
    return listed
