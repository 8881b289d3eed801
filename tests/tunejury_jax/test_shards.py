"""Shares of work."""

import pytest

from tunejury_jax.shards import parse_shard


def test_a_shard_is_one_of_its_number() -> None:
    assert parse_shard("2/3") == (2, 3)
    assert [parse_shard(f"{index}/4")[0] for index in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize("text", ["3/3", "1", "a/2", "-1/2", "1/0", "", "1/2/3", "1.0/2"])
def test_refuses_others(text: str) -> None:
    with pytest.raises(ValueError, match=r"shard: got .*, expected i/n with 0 <= i < n"):
        parse_shard(text)
