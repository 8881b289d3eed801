"""Where a search looks: one dimension a hyper-parameter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple, get_args

from trainers.recipe import Recipe, TrainConfig, parse_widths, require

__all__ = ["Dimension", "Scale", "SearchSpace", "recipe_of"]

Scale = Literal["log", "linear", "choice"]
Value = float | int | str


@dataclass(frozen=True)
class SearchSpace:
    """Where a sweep looks.

    Each option is `log LOW HIGH`, `linear LOW HIGH` or `choice VALUE ...`; without the first word it is the scale named
    below. One value alone is fixed, and an option without values is not searched: the sweep's own value is used.
    """

    learning_rate: tuple[str, ...] = ("log", "1e-4", "1e-2")
    """Usual scale: log."""
    weight_decay: tuple[str, ...] = ("log", "1e-4", "1e-1")
    """Usual scale: log."""
    dropout: tuple[str, ...] = ("linear", "0.1", "0.6")
    """Usual scale: linear."""
    label_smoothing: tuple[str, ...] = ("linear", "0.0", "0.1")
    """Usual scale: linear."""
    batch_size: tuple[str, ...] = ()
    """Usual scale: choice."""
    widths: tuple[str, ...] = ("choice", "1024-512-256-128", "256-128-64-32")
    """Hidden layers to choose from."""
    blocks: tuple[str, ...] = ()
    """Feature blocks to choose from, joined by +, such as clap_audio+mert."""
    patience: tuple[str, ...] = ()
    """Usual scale: choice."""
    min_delta: tuple[str, ...] = ()
    """Usual scale: log."""
    seed: tuple[str, ...] = ()
    """Usual scale: choice."""

    def __post_init__(self) -> None:
        given = {field.name: tokens for field in fields(self) if (tokens := getattr(self, field.name))}
        require("space", (), bool(given), "at least one option to search")
        for name, tokens in given.items():
            # Kept in one spelling: 1e-4 and 0.0001 ask for the same sweep.
            object.__setattr__(self, name, _dimension(name, tokens).tokens)

    def dimensions(self) -> "dict[str, Dimension]":
        """What is searched, by the name of its field."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _dimension(name, tokens) for name, tokens in given.items() if tokens}


class Dimension(NamedTuple):
    """The ends of a range, or the values of a choice."""

    scale: Scale
    values: tuple[Value, ...]

    @property
    def tokens(self) -> tuple[str, ...]:
        """The dimension as it is asked for."""
        return (self.scale, *(str(value) for value in self.values))


def recipe_of(base: Recipe, params: Mapping[str, Any]) -> Recipe:
    """The base recipe with what a search chose.

    Args:
        base: Gives everything that is not searched.
        params: Values by the names of the fields of `SearchSpace`.
    """
    values = {name: PARSE.get(name, lambda value: value)(value) for name, value in params.items()}
    blocks = values.pop("blocks", base.data.blocks)
    return Recipe(replace(base.train, **values), replace(base.data, blocks=blocks))


def _dimension(name: str, tokens: tuple[str, ...]) -> Dimension:
    named = tokens[0] in get_args(Scale)
    scale, texts = (tokens[0], tokens[1:]) if named else (USUAL[name], tokens)
    if len(texts) == 1 and not named:
        scale = "choice"  # a fixed value may be the 0 that a log scale has not
    values = tuple(_value(name, text) for text in texts)
    (_check_choice if scale == "choice" else _check_range)(name, tokens, values)
    _check_ends(name, tokens, scale, values)
    return Dimension(scale, values)  # type: ignore[arg-type]


def _value(name: str, text: str) -> Value:
    """One value; text stays text, so that a choice reads in tables as it was asked for."""
    if name in PARSE:
        PARSE[name](text)
        return text
    kind, accepted = (int, "whole numbers") if name in WHOLE else (float, "numbers")
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"space.{name}: got {text!r}, accepted are {accepted}") from error


def _check_choice(name: str, tokens: tuple[str, ...], values: tuple[Value, ...]) -> None:
    require(f"space.{name}", tokens, bool(values), "at least one value to choose")
    require(f"space.{name}", tokens, len({*values}) == len(values), "a choice of values that differ")


def _check_range(name: str, tokens: tuple[str, ...], values: tuple[Value, ...]) -> None:
    require(f"space.{name}", tokens, name not in PARSE, "a choice, it has no ranges")
    accepted = "log LOW HIGH, linear LOW HIGH or choice VALUE ..."
    require(f"space.{name}", tokens, len(values) == 2, accepted)
    require(f"space.{name}", tokens, values[0] <= values[1], "a range with LOW <= HIGH")  # type: ignore[operator]


def _check_ends(name: str, tokens: tuple[str, ...], scale: str, values: tuple[Value, ...]) -> None:
    """What a head would refuse is refused here, before anything is trained."""
    try:
        for value in values:
            recipe_of(Recipe(TrainConfig()), {name: value})
    except ValueError as error:
        raise ValueError(f"space.{error}") from error
    above_zero = scale != "log" or values[0] > 0  # type: ignore[operator]
    require(f"space.{name}", tokens, above_zero, "a range above 0, it is searched on a log scale")


def _parse_widths(text: str) -> tuple[int, ...]:
    try:
        return parse_widths(text)
    except ValueError as error:
        raise ValueError(f"space.{error}") from error


def _parse_blocks(text: str) -> tuple[str, ...]:
    blocks = tuple(text.split("+"))
    differ = all(blocks) and len({*blocks}) == len(blocks)
    require("space.blocks", text, differ, "names of blocks joined by +, each once, such as clap_audio+mert")
    return blocks


USUAL: dict[str, Scale] = {
    "learning_rate": "log",
    "weight_decay": "log",
    "dropout": "linear",
    "label_smoothing": "linear",
    "batch_size": "choice",
    "widths": "choice",
    "blocks": "choice",
    "patience": "choice",
    "min_delta": "log",
    "seed": "choice",
}
WHOLE = ("batch_size", "patience", "seed")
PARSE: dict[str, Callable[[str], Any]] = {"widths": _parse_widths, "blocks": _parse_blocks}
