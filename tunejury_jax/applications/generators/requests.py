"""What every generator checks of what it is asked for."""

import math
from collections.abc import Sequence

__all__ = ["check_request", "sample_count"]


def check_request(prompts: Sequence[str], seeds: Sequence[int], duration_s: float, longest_s: float | int) -> None:
    """Refuses what cannot be made.

    Args:
        prompts: At least one.
        seeds: One a prompt, from 0 on.
        duration_s: Of every clip, in seconds.
        longest_s: What the backbone can make.

    Raises:
        ValueError: Says what is wrong.
    """
    if not prompts or len(prompts) != len(seeds):
        raise ValueError(f"seeds: expected one a prompt, got {len(prompts)} prompts and {len(seeds)} seeds")
    negative = [seed for seed in seeds if seed < 0]
    if negative:
        raise ValueError(f"seeds: got {negative[0]}, accepted are 0 and more")
    if not (math.isfinite(duration_s) and 0 < duration_s <= longest_s):
        raise ValueError(f"duration_s: got {duration_s}, accepted are lengths above 0 and up to {longest_s:g} s")


def sample_count(duration_s: float, sample_rate_hz: int) -> int:
    """Samples of a clip; at least one."""
    return max(1, round(duration_s * sample_rate_hz))
