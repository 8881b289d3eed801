"""Work shared among n workers: worker i takes every n-th piece."""

__all__ = ["parse_shard"]


def parse_shard(text: str) -> tuple[int, int]:
    """Reads `i/n`, worker i of n, counted from 0.

    Raises:
        ValueError: It is not `i/n` with 0 <= i < n.

    >>> parse_shard("2/3")
    (2, 3)
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise ValueError(f"shard: got {text!r}, expected i/n with 0 <= i < n, for example 0/4")
    return int(index), int(count)
