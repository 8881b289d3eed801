"""A sweep that is asked for in a TOML file."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from trainers.config import SweepConfig
from trainers.recipe import require
from trainers.space import SearchSpace
from tunejury_jax.documents import read_bounded

__all__ = ["read_sweep"]

MAX_BYTES = 1 << 20
ACCEPTED = {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false"}


def read_sweep(path: Path) -> SweepConfig:
    """Reads a sweep.

    Args:
        path: TOML with any fields of `SweepConfig`, hyphens or underscores in their names, and the tables [space] and
            [data].

    Raises:
        ValueError: Too large, not TOML, a field that is unknown, or a value that is not accepted.
    """
    data = read_bounded(path, MAX_BYTES)
    try:
        return _built(SweepConfig, _parsed(data), "")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not TOML: {error}") from error


def _built(kind: Any, table: Mapping[str, Any], prefix: str) -> Any:
    """The dataclass that a table describes."""
    hints, names = get_type_hints(kind), [field.name for field in fields(kind)]
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        where = f" in [{prefix}]" if prefix else ""
        _check_known(key, name, names, where)
        if name in values:
            raise ValueError(f"field {key!r}{where} is given twice, with a hyphen and with an underscore")
        values[name] = _tokens(name, value) if kind is SearchSpace else _value(f"{prefix}.{name}", hints[name], value)
    return kind(**values)


def _check_known(key: str, name: str, names: Iterable[str], where: str) -> None:
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"accepted are {', '.join(names)}"
        raise ValueError(f"unknown field {key!r}{where}; {advice}")


def _value(name: str, hint: Any, value: Any) -> Any:
    """The value as the field holds it."""
    name, origin = name.lstrip("."), get_origin(hint)
    if is_dataclass(hint):
        require(name, value, isinstance(value, Mapping), f"a table [{name}]")
        return _built(hint, value, name)
    if origin in (UnionType, Union):  # TOML has no null, so the other side is meant
        return _value(name, next(part for part in get_args(hint) if part is not NoneType), value)
    if origin is tuple:
        require(name, value, isinstance(value, list), "a list in brackets")
        return tuple(_value(name, get_args(hint)[0], item) for item in value)
    return _scalar(name, hint, value)


def _scalar(name: str, hint: Any, value: Any) -> Any:
    if get_origin(hint) is Literal:
        require(name, value, value in get_args(hint), f"one of {', '.join(get_args(hint))}")
        return value
    types = (int, float) if hint is float else (hint,)
    require(name, value, type(value) in types, ACCEPTED[hint])  # exactly: true is no number
    return hint(value)


def _tokens(name: str, value: Any) -> tuple[str, ...]:
    """A dimension as the command line has it; numbers need no quotes here, and one value needs no brackets."""
    items = value if isinstance(value, list) else [value]
    holds = all(type(item) in (int, float, str) for item in items)
    require(f"space.{name}", value, holds, "a number, text in quotes, or a list of them")
    return tuple(str(item) for item in items)
