"""What heads need in memory, known before any is made."""

import os
from pathlib import Path

import jax

from trainers.executors import Stacked, for_backend, lanes_for
from trainers.population import SCORE_CHUNK
from tunejury_jax.head_config import HeadConfig

__all__ = ["available_bytes", "capacity", "member_bytes", "require_memory"]

FLOAT_BYTES = 4
COPIES = 8
"""Of the parameters: weights, both moments and the best weights, twice while members are stacked. During an epoch it
is these once, and the gradients."""
ACTIVATIONS = 4
"""Of every layer: before and after normalisation, what is kept, its gradient."""


def member_bytes(head: HeadConfig, batch_size: int) -> int:
    """Bytes that one more head of a population takes.

    bytes = 4 (8 parameters + 2 rows (input_dim + 4 sum(widths))), rows = max(batch_size, pairs validated at a time)

    Args:
        head: Shape of the head.
        batch_size: Pairs a step; each has two sides.
    """
    rows = 2 * max(batch_size, SCORE_CHUNK)
    return FLOAT_BYTES * (COPIES * head.parameter_count + rows * (head.input_dim + ACTIVATIONS * sum(head.widths)))


def available_bytes() -> int:
    """Bytes that are free on all accelerators together, as far as heads can be shared out evenly; or in main memory
    where there are none. Of several processes each is taken to have what this one has."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    free = [found["bytes_limit"] - found["bytes_in_use"] for found in stats if found]
    return (len(free) * min(free) if free else _free_main_memory()) * jax.process_count()


def capacity(head: HeadConfig, batch_size: int) -> int:
    """How many heads fit at once."""
    return _fitting(available_bytes(), head, batch_size)


def require_memory(heads: int, head: HeadConfig, batch_size: int) -> None:
    """Refuses a population that would not fit.

    Raises:
        ValueError: Says how many heads fit.
    """
    available = available_bytes()
    fit = _fitting(available, head, batch_size)
    if heads > fit:
        need, widths = heads * member_bytes(head, batch_size) / 1e9, "-".join(map(str, head.widths))
        raise ValueError(
            f"population: {heads} heads of widths {widths} need about {need:.1f} GB, "
            f"{available / 1e9:.1f} GB are free: at most {fit} fit"
        )


def _fitting(available: int, head: HeadConfig, batch_size: int) -> int:
    fit = max(0, available) // member_bytes(head, batch_size)
    if for_backend() is not Stacked:
        return fit
    return next((heads for heads in range(fit, 0, -1) if lanes_for(heads, heads, jax.device_count()) <= fit), 0)


def _free_main_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    available = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return available[0] if available else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
