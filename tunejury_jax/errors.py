"""Checks at the door: one wording for every refused value."""

import difflib
from collections.abc import Collection
from typing import TypeVar

__all__ = ["one_of"]

T = TypeVar("T", bound=str)


def one_of(field: str, value: object, accepted: Collection[T]) -> T:
    """Returns the one of `accepted` that equals `value`.

    Raises:
        ValueError: Names the field, quotes the value, lists what is accepted and suggests the nearest.
    """
    for option in accepted:
        if option == value:
            return option
    near = difflib.get_close_matches(str(value), accepted, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"{field}: got {value!r}, accepted are {', '.join(map(repr, accepted))}{hint}")
