"""One wording for refused values: field, value, what is accepted, and the nearest of it."""

import re

import pytest

from tunejury_jax.errors import one_of

ACCEPTED = ("train", "valid", "test")


@pytest.mark.parametrize("value", ACCEPTED)
def test_an_accepted_value_comes_back(value: str) -> None:
    assert one_of("split", value, ACCEPTED) == value


@pytest.mark.parametrize(("value", "near"), [("trian", "train"), ("Test", "test"), ("validation", "valid")])
def test_a_near_miss_is_told_what_was_meant(value: str, near: str) -> None:
    message = f"split: got {value!r}, accepted are 'train', 'valid', 'test' (did you mean {near!r}?)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        one_of("split", value, ACCEPTED)


@pytest.mark.parametrize("value", ["zzz", "", None, 3, True, ["train"], {"train": 1}])
def test_anything_else_is_quoted_without_a_guess(value: object) -> None:
    message = f"split: got {value!r}, accepted are 'train', 'valid', 'test'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        one_of("split", value, ACCEPTED)


def test_nothing_may_be_accepted() -> None:
    with pytest.raises(ValueError, match=r"encoder: got 'mel', accepted are $"):
        one_of("encoder", "mel", ())
