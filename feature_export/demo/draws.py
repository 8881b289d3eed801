"""Random draws that do not depend on order: every song has its own streams, one for each use.

A draw is a function of (seed, song, use) alone (a counter-based generator, as in grain's samplers), so song 17 is the
same song whether it is made first, last, alone or in another process.
"""

from enum import IntEnum

import numpy as np

__all__ = ["Use", "stream"]


class Use(IntEnum):
    """What a stream is drawn for; two uses of one song never share numbers."""

    SONG = 0
    TAKES = 1
    DAMAGE_PAIRS = 2
    PROMPT_PAIRS = 3


def stream(seed: int, index: int, use: Use) -> np.random.Generator:
    """The random stream of one song, or of one split, for one use.

    Raises:
        ValueError: Seed or index is negative.
    """
    for field, value in (("seed", seed), ("index", index)):
        if value < 0:
            raise ValueError(f"{field}: expected an integer >= 0, got {value}")
    # The counter counts up from its first word, so the last word keeps the uses apart.
    return np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, 0, int(use)]))
