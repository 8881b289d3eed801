"""A fleet of workers that die: how long an export takes, and how much of it is done twice.

Each worker takes a block, encodes it, and loses what it did of it when it dies; then it starts again. Deaths come at a
constant rate, so whether a worker dies in the next second does not depend on how long it has run. Blocks are taken from
one queue, as Ray hands them out, or are fixed by `block % workers`, as shards of a job array are.
"""

import heapq
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = ["Fleet", "Outcome", "expected_block_s", "simulate"]


@dataclass(frozen=True)
class Fleet:
    """Workers and what they have to do.

    Attributes:
        workers: How many.
        blocks: How many are to encode.
        block_s: Seconds that a block takes to encode and commit.
        mean_life_s: Mean time between deaths of one worker.
        restart_s: Seconds from a death to the first second of work, models loaded.
        shared_queue: Whether a worker takes any block, or its own shard only.
    """

    workers: int
    blocks: int
    block_s: float
    mean_life_s: float
    restart_s: float
    shared_queue: bool = True


class Outcome(NamedTuple):
    """What a run came to.

    Attributes:
        seconds: Until the last block was committed.
        deaths: While a block was in hand.
        lost_s: Seconds of encoding that were done again.
        efficiency: Seconds of encoding that count, over seconds that all workers were held.
    """

    seconds: float
    deaths: int
    lost_s: float
    efficiency: float


def simulate(fleet: Fleet, seed: int = 0) -> Outcome:
    """Runs a fleet through all its blocks, death by death."""
    rng = np.random.default_rng(seed)
    shards = [len(range(worker, fleet.blocks, fleet.workers)) for worker in range(fleet.workers)]
    left = [fleet.blocks] if fleet.shared_queue else shards
    ready = [(fleet.restart_s, worker) for worker in range(fleet.workers)]
    finished = deaths = lost_s = 0.0
    while ready:
        now, worker = heapq.heappop(ready)
        queue = 0 if fleet.shared_queue else worker
        if not left[queue]:
            continue
        left[queue] -= 1  # a dead worker's block stays with it: it is the first it does again
        died = _deaths(fleet, rng)
        deaths, lost_s = deaths + len(died), lost_s + sum(died)
        now += sum(died) + len(died) * fleet.restart_s + fleet.block_s
        finished = max(finished, now)
        heapq.heappush(ready, (now, worker))
    useful_s = fleet.blocks * fleet.block_s
    return Outcome(finished, int(deaths), lost_s, useful_s / (fleet.workers * finished))


def expected_block_s(fleet: Fleet) -> float:
    """Mean seconds from taking a block to its commit: `(mean_life + restart) (exp(block / mean_life) - 1)`.

    Where blocks are short against a life this is `block + (block / mean_life) (block / 2 + restart)`: a death costs
    half a block and a restart. Source: J. T. Daly, A higher order estimate of the optimum checkpoint interval for
    restart dumps (2006).
    """
    return (fleet.mean_life_s + fleet.restart_s) * math.expm1(fleet.block_s / fleet.mean_life_s)


def _deaths(fleet: Fleet, rng: np.random.Generator) -> list[float]:
    """Seconds of work that each death took, before the block was done whole."""
    died: list[float] = []
    while (life_s := rng.exponential(fleet.mean_life_s)) < fleet.block_s:
        died.append(life_s)
    return died
