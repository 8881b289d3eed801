"""Where a search looks."""

import math
from dataclasses import dataclass

from trainers.recipe import parse_widths, require

__all__ = ["SearchSpace"]


@dataclass(frozen=True)
class SearchSpace:
    """Where a sweep looks. Two numbers are a range, searched on a log scale where marked; widths are a choice."""

    learning_rate: tuple[float, float] = (1e-4, 1e-2)
    """Range, log scale."""
    weight_decay: tuple[float, float] = (1e-4, 1e-1)
    """Range, log scale."""
    dropout: tuple[float, float] = (0.1, 0.6)
    """Range, linear scale."""
    label_smoothing: tuple[float, float] = (0.0, 0.1)
    """Range, linear scale."""
    widths: tuple[str, ...] = ("1024-512-256-128", "256-128-64-32")
    """Hidden layers to choose from."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "weight_decay"):
            _range(f"space.{name}", getattr(self, name), above_zero=True)
        for name in ("dropout", "label_smoothing"):
            _range(f"space.{name}", getattr(self, name), above_zero=False)
        require("space.dropout", self.dropout, self.dropout[1] < 1, "a range within [0, 1)")
        require("space.label_smoothing", self.label_smoothing, self.label_smoothing[1] <= 1, "a range within [0, 1]")
        require("space.widths", self.widths, bool(self.widths), "at least one choice such as 256-128-64-32")
        for choice in self.widths:
            parse_widths(choice)


def _range(field_name: str, value: tuple[float, float], *, above_zero: bool) -> None:
    low, high = value
    require(field_name, value, 0 <= low <= high < math.inf, "a range LOW HIGH with 0 <= LOW <= HIGH")
    require(field_name, value, low > 0 or not above_zero, "a range above 0, it is searched on a log scale")
