"""What a feature store costs at scale: a block at a time, a loader's memory, and a fleet that dies and goes on.

python -m benchmarks.store_scale writes benchmarks/results/store_scale.json; docs/scale.md has its tables.
"""

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.fleet import Fleet, expected_block_s, simulate
from benchmarks.measure import save
from tunejury_jax.blocks import Block
from tunejury_jax.console import command
from tunejury_jax.pairs import Pair
from tunejury_jax.store import EncoderSpec, FeatureStore, kv, plan_store, seal_store, write_block
from tunejury_jax.store.feature_store import commit_key

__all__ = ["StoreScale", "block_costs", "fleets", "listing_costs", "main", "streaming_memory"]

GIB = 1 << 30
CHILD = """
import json, re, sys, time
from pathlib import Path
from tunejury_jax.store import FeatureStore
from tunejury_jax.store.streaming import stream_to_device
import jax.numpy as jnp
jnp.zeros(1).block_until_ready()
def peak():  # not ru_maxrss: a process inherits that of its parent
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10
before = peak()
began = time.perf_counter()
matrix, ok = stream_to_device(FeatureStore.open_sealed(sys.argv[1]), "features", dtype=sys.argv[2])
seconds = time.perf_counter() - began
print(json.dumps([matrix.nbytes, before, peak(), seconds]))
"""


@dataclass(frozen=True)
class StoreScale:
    """What is measured."""

    block_rows: tuple[int, ...] = (1024, 8192)
    dtypes: tuple[str, ...] = ("float32", "float16")
    dim: int = 1024
    """Width of the features, MERT's."""
    blocks: int = 8
    """Blocks written and read, each timed by itself."""
    commits: int = 12_208
    """Of one encoder over 100M clips in blocks of 8192."""
    stream_rows: int = 1_000_000
    stream_dim: int = 2048
    workers: tuple[int, ...] = (1, 8, 64, 512)
    mean_life_h: tuple[float, ...] = (1.0, 6.0, 24.0)
    clip_s: float = 0.1
    """Seconds a worker needs for a clip: an assumption, of a GPU; MERT alone takes 4 s on two processors."""
    restart_s: float = 120.0
    """Seconds until a worker that died works again: an assumption."""
    seeds: int = field(default=10)


def main(config: StoreScale) -> None:
    """Measures everything and saves it."""
    shapes = itertools.product(config.block_rows, config.dtypes)
    with TemporaryDirectory() as folder:
        block_costs(Path(folder, "warm-up"), 16, "float32", config.dim, 2)
        costs = [block_costs(Path(folder, f"{r}-{t}"), r, t, config.dim, config.blocks) for r, t in shapes]
    document = {
        "config": vars(config),
        "block_costs_s": costs,
        "listing_s": listing_costs(config.commits),
        "streaming": streaming_memory(config.stream_rows, config.stream_dim),
        "fleets": list(fleets(config)),
    }
    print(save("store_scale", document))


def block_costs(location: Path, block_rows: int, dtype: str, dim: int, blocks: int) -> dict[str, Any]:
    """Median seconds of a block, on this machine's disk: written and committed, committed, verified, loaded."""
    values = np.random.default_rng(0).standard_normal((block_rows, dim), np.float32)
    store = planned_store(location, block_rows * blocks, block_rows, dtype, dim)
    write = [_seconds(lambda b=b: write_block(store, "features", b, values, {})) for b in range(blocks)]
    commit = kv.read_bytes(store.root, commit_key("features", 0), 1 << 20) or b""
    again = [_seconds(lambda b=b: kv.put_if_absent(store.root, f"again/{b}.json", commit)) for b in range(blocks)]
    verify, load = _seconds(lambda: seal_store(store)), _seconds(lambda: store.load("features"))
    return {
        "block_rows": block_rows,
        "dtype": dtype,
        "bytes": values.astype(dtype).nbytes,
        "write_and_commit": statistics.median(write),
        "commit": statistics.median(again),
        "verify": verify / blocks,
        "load": load / blocks,
    }


def listing_costs(commits: int) -> dict[str, float]:
    """Seconds to write, list and read the commits of one encoder, on this machine's disk."""
    with TemporaryDirectory() as folder:
        store = planned_store(Path(folder), commits, 1, "float16", 1)
        write_block(store, "features", 0, np.zeros((1, 1), np.float32), {})
        commit = json.loads(kv.read_bytes(store.root, commit_key("features", 0), 1 << 20) or b"")

        def put_all() -> None:
            for block in range(1, commits):
                document = commit | {"block": block, "lo": block, "hi": block + 1}
                kv.put_if_absent(store.root, commit_key("features", block), json.dumps(document).encode())

        write = _seconds(put_all)
        listing, reading = (
            _seconds(lambda: store.pending("features")),
            _seconds(lambda: list(store.commits("features"))),
        )
    return {"commits": commits, "write": write, "list": listing, "list_and_read": reading}


def streaming_memory(rows: int, dim: int) -> dict[str, Any]:
    """Peak memory of a process that loads a float16 store onto its device; with a processor the data is in it too."""
    with TemporaryDirectory() as folder:
        store = planned_store(Path(folder), rows, 8192, "float16", dim)
        values = np.random.default_rng(0).standard_normal((8192, dim), np.float32)
        for block in store.pending("features"):
            low, high = store.bounds("features", block)
            write_block(store, "features", block, values[: high - low], {})
        kv.put(store.root, "SEALED.json", b"{}")  # its digests are not what is measured
        done = subprocess.run(
            [sys.executable, "-c", CHILD, folder, "float16"], capture_output=True, text=True, check=True
        )
    data, before, peak, seconds = json.loads(done.stdout)
    return {
        "rows": rows,
        "dim": dim,
        "data_gib": data / GIB,
        "process_before_gib": before / GIB,
        "peak_gib": peak / GIB,
        "beyond_the_data_gib": (peak - data) / GIB,
        "seconds": seconds,
    }


def fleets(config: StoreScale, clips: int = 100_000_000, block_rows: int = 8192) -> Iterator[dict[str, Any]]:
    """Simulated exports of so many clips, means over seeds."""
    for workers, life_h in itertools.product(config.workers, config.mean_life_h):
        fleet = Fleet(workers, -(-clips // block_rows), block_rows * config.clip_s, life_h * 3600, config.restart_s)
        runs = [simulate(fleet, seed) for seed in range(config.seeds)]
        mean = {name: float(np.mean([getattr(run, name) for run in runs])) for name in runs[0]._fields}
        expected = fleet.blocks * expected_block_s(fleet) / workers
        yield {"workers": workers, "mean_life_h": life_h, "block_s": fleet.block_s, **mean, "expected_s": expected}


def planned_store(location: Path, clips: int, block_rows: int, dtype: str, dim: int) -> FeatureStore:
    """A store of one encoder, planned."""
    spec = EncoderSpec(Block("features", dim, "clip"), {"encoder": "random"}, dtype)
    return plan_store(str(location), _pairs(clips), [spec], block_rows=block_rows)


def _pairs(clips: int) -> Sequence[Pair]:
    names = [f"{number:09}.wav" for number in range(clips)]
    halves = zip(names[: (clips + 1) // 2], names[clips // 2 :], strict=True)
    return [Pair(f"p{number}", "random", a, b, "a", split="train") for number, (a, b) in enumerate(halves)]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    command("python -m benchmarks.store_scale", StoreScale, main)
