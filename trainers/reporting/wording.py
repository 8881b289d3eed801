"""How the report writes numbers and other values of a run."""

import json
from typing import Any

from tunejury_jax.metrics import Accuracy

__all__ = ["count", "interval", "p_value", "percent", "short"]


def percent(a: Accuracy) -> str:
    """An accuracy with its 95 % interval."""
    return f"{a.value:.1%} ({interval(a)})"


def interval(a: Accuracy) -> str:
    """The 95 % interval of an accuracy."""
    return f"{a.low:.1%} to {a.high:.1%}"


def p_value(p: float) -> str:
    """A p-value; below what a float holds, its bound."""
    return f"p = {p:.2g}" if p >= 1e-300 else "p < 1e-300"


def count(n: int, noun: str) -> str:
    """How many there are of something whose plural ends in s."""
    return f"{n} {noun}" + "s" * (n != 1)


def short(value: Any) -> str:
    """Any value of a trial, numbers with four digits."""
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
