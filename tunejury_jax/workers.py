"""How many processes work ahead."""

import os

__all__ = ["worker_count"]


def worker_count(asked: int | None) -> int:
    """As many as asked for; None is one for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if asked is None else asked
