"""Songs split 8:1:1 so that few pairs fall between splits: each held-out split grows along pairs from one song."""

import random
from collections import deque
from collections.abc import Collection, Mapping, Sequence

from tunejury_jax.pairs import Split

__all__ = ["split_songs"]


def split_songs(pairs: Sequence[tuple[str, str]], seed: int) -> dict[str, Split]:
    """Song -> split; a tenth of the songs each to test and valid, the rest to train.

    Drawing songs one by one would lose a third of the pairs, whose songs would be in two splits; whole connected
    components cannot be drawn, since nearly all songs are in one.
    """
    neighbours: dict[str, set[str]] = {}
    for one, two in pairs:
        neighbours.setdefault(one, set()).add(two)
        neighbours.setdefault(two, set()).add(one)
    draw, held = random.Random(f"split/{seed}"), round(len(neighbours) / 10)
    test = _snowball(neighbours, neighbours.keys(), held, draw)
    valid = _snowball(neighbours, neighbours.keys() - test, held, draw)
    return {song: "test" if song in test else "valid" if song in valid else "train" for song in sorted(neighbours)}


def _snowball(
    neighbours: Mapping[str, Collection[str]], songs: Collection[str], size: int, draw: random.Random
) -> set[str]:
    """Takes a song, its neighbours, their neighbours, and so on; another song where there are no more."""
    left, taken, queue = set(songs), set[str](), deque[str]()
    while len(taken) < size:
        song = queue.popleft() if queue else draw.choice(sorted(left))
        if song in left:
            left.remove(song)
            taken.add(song)
            queue.extend(sorted(left.intersection(neighbours[song])))
    return taken
