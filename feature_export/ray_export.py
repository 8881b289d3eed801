"""python -m feature_export.ray_export: the blocks of a planned store over the workers of a Ray cluster.

Ray schedules, the store makes it safe: what a worker is given is the number of a block, never a clip, and a block
counts once it is committed. A worker that dies is started again and given its block again; a driver that dies leaves
a store that the same command continues. Either way the store ends as one worker alone would leave it, bit for bit.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from tunejury_jax.console import command
from tunejury_jax.progress import progress, say
from tunejury_jax.store import FeatureStore

__all__ = ["RayExport", "Worker", "main", "pending_numbers"]

TRIES_AFTER_A_DEATH = 3
"""More often than this a block is not given to a worker that it may have killed."""
OBJECT_STORE_BYTES = 100 << 20
"""Numbers of blocks are all that moves."""


@dataclass(frozen=True, kw_only=True)
class RayExport:
    """Encode the blocks of a planned store that are not committed yet, over a Ray cluster."""

    store: tyro.conf.Positional[str]
    """A planned store that all workers reach: a folder they share, or a gs:// or s3:// URL."""
    audio_root: Path
    """Folder that the clips' paths are relative to, the same on all workers."""
    address: str | None = None
    """A cluster to join, auto for the one on this machine; by default one is started here, for this run."""
    workers: int | None = None
    """Blocks encoded at a time; by default as many as the cluster has processors or GPUs for."""
    cpus_per_worker: float = 1.0
    """Processors that Ray sets aside for a worker."""
    gpus_per_worker: float = 0.0
    """GPUs that Ray sets aside for a worker; with 0 it computes on processors."""
    threads: int = 1
    """Threads of torch in a worker."""
    decoders: int = 0
    """Processes that decode ahead in each worker, for workers with a GPU."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: got {self.workers}, expected at least 1")
        if self.threads < 1:
            raise ValueError(f"threads: got {self.threads}, expected at least 1")


class Worker:
    """One process of the cluster, with its own encoders, which are loaded at the first call."""

    def __init__(self, config: RayExport, count: int) -> None:
        self._config, self._count = config, count
        self._tools: tuple[FeatureStore, Any] | None = None

    def refuses(self) -> str | None:
        """Why this worker cannot work at all, if so."""
        return _reason_of(lambda: self._encoding(0))

    def encode(self, number: int) -> str | None:
        """Encodes what is pending of the blocks of one number, in each table; returns why it could not, if so."""
        return _reason_of(lambda: self._encoding(number).run())

    def _encoding(self, number: int) -> Any:
        from feature_export.export import Encoding, Limits

        self._tools = self._tools or self._load()
        # With as many shards as blocks, a shard is one block of each table.
        shard, limits = (number, self._count), Limits(workers=self._config.decoders)
        return Encoding(*self._tools, self._config.audio_root, shard, limits)

    def _load(self) -> tuple[FeatureStore, Any]:
        import torch

        from feature_export.encoders import stack_from_provenance

        torch.set_num_threads(self._config.threads)
        store = FeatureStore.open(self._config.store)
        return store, stack_from_provenance(_provenance(store), "cuda" if self._config.gpus_per_worker else "cpu")


def pending_numbers(store: FeatureStore) -> list[int]:
    """Numbers of the blocks that some encoder lacks."""
    return sorted({block for encoder in store.plan.encoders for block in store.pending(encoder)})


def main(config: RayExport) -> int:
    """Encodes everything that is pending; 1 if blocks are left."""
    from feature_export.weights.licences import require_accepted

    store = FeatureStore.open(config.store)
    require_accepted(_provenance(store))
    numbers = pending_numbers(store)
    with _cluster(config) as ray, progress("encode", len(numbers), "blocks") as advance:
        lost = _encode(ray, config, store, numbers, lambda: advance(1))
    for number, reason in sorted(lost.items()):
        say(f"block {number} is left: {reason}")
    failed = {name: len(store.failures(name)) for name in store.plan.encoders}
    say(f"Encoded {len(numbers) - len(lost)} blocks; rows that failed, of the whole store: {failed}")
    return int(bool(lost))


def _encode(
    ray: Any, config: RayExport, store: FeatureStore, numbers: Sequence[int], on_block: Callable[[], None]
) -> dict[int, str]:
    """Hands out the blocks; returns those that were given up, with the reason."""
    count = max(store.plan.blocks(name) for name in store.plan.encoders)
    actors = _start(ray, config, count, len(numbers))
    in_hand: dict[Any, tuple[Any, int | None]] = {actor.refuses.remote(): (actor, None) for actor in actors}
    waiting, ended = deque(numbers), dict[int, str | None]()
    while len(ended) < len(numbers):
        task = ray.wait(list(in_hand))[0][0]
        (actor, number), reason = in_hand.pop(task), _result(ray, task)
        if number is not None:
            ended[number] = reason
            on_block()
        elif reason:
            raise ValueError(f"a worker cannot work: {reason}")
        if waiting:
            number = waiting.popleft()
            in_hand[actor.encode.remote(number)] = (actor, number)
    return {number: reason for number, reason in ended.items() if reason}


def _result(ray: Any, task: Any) -> str | None:
    try:
        return ray.get(task)
    except ray.exceptions.RayError as error:  # before the last line stands the traceback of another process
        return str(error).strip().splitlines()[-1].strip()


def _start(ray: Any, config: RayExport, count: int, blocks: int) -> list[Any]:
    options = {"num_cpus": config.cpus_per_worker, "num_gpus": config.gpus_per_worker}
    lives = {"max_restarts": -1, "max_task_retries": TRIES_AFTER_A_DEATH}
    actor = ray.remote(**options, **lives)(Worker)
    return [actor.remote(config, count) for _ in range(min(config.workers or _room(ray, config), blocks))]


def _room(ray: Any, config: RayExport) -> int:
    """How many workers the cluster has room for."""
    wanted = {"CPU": config.cpus_per_worker, "GPU": config.gpus_per_worker}
    there = ray.cluster_resources()
    return max(1, min(int(there.get(name, 0) / share) for name, share in wanted.items() if share))


@contextmanager
def _cluster(config: RayExport) -> Iterator[Any]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ValueError("ray: is not installed; pip install 'tunejury-jax[ray]'") from error
    own = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES} if config.address is None else {}
    ray.init(address=config.address, log_to_driver=False, logging_level=logging.ERROR, **own)
    try:
        yield ray
    finally:
        ray.shutdown()


def _provenance(store: FeatureStore) -> dict[str, Any]:
    return {name: dict(spec.provenance) for name, spec in store.plan.encoders.items()}


def _reason_of(work: Callable[[], object]) -> str | None:
    try:
        work()
    except (ValueError, OSError) as error:
        return str(error)
    return None


if __name__ == "__main__":
    command("python -m feature_export.ray_export", RayExport, main)
