"""One head to train: how, and on what."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

from tunejury_jax.head_config import PAPER_WIDTHS

__all__ = ["DataConfig", "Recipe", "TrainConfig", "parse_widths", "require"]

WIDTHS = re.compile("[1-9][0-9]*(-[1-9][0-9]*)*")


@dataclass(frozen=True)
class TrainConfig:
    """How one head is trained; the defaults are the published recipe (spec.md section 1)."""

    learning_rate: float = 1e-4
    """AdamW step size."""
    weight_decay: float = 1e-3
    """Decoupled weight decay, on all parameters."""
    dropout: float = 0.5
    """Share of hidden units dropped."""
    label_smoothing: float = 0.0
    """Moves targets towards 0.5 by this share."""
    batch_size: int = 32
    """Pairs a step."""
    widths: tuple[int, ...] = PAPER_WIDTHS
    """Hidden layers of the head."""
    max_epochs: int = 1000
    """Epochs at most."""
    patience: int = 30
    """Epochs without a better validation loss before a head stops; its best weights are kept."""
    min_delta: float = 1e-4
    """Smallest decrease of the validation loss that counts as better, in nats."""
    seed: int = 42
    """Initialisation, order of the pairs and dropout follow from this alone."""

    def __post_init__(self) -> None:
        require("learning_rate", self.learning_rate, self.learning_rate > 0, "above 0")
        require("weight_decay", self.weight_decay, self.weight_decay >= 0, "at least 0")
        require("dropout", self.dropout, 0 <= self.dropout < 1, "in [0, 1)")
        require("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing <= 1, "in [0, 1]")
        require("batch_size", self.batch_size, self.batch_size >= 2, "at least 2 (BatchNorm needs two rows)")
        require("widths", self.widths, bool(self.widths) and min(self.widths) >= 1, "one or more positive widths")
        require("max_epochs", self.max_epochs, self.max_epochs >= 1, "at least 1")
        require("patience", self.patience, self.patience >= 1, "at least 1")
        require("min_delta", self.min_delta, self.min_delta >= 0, "at least 0")
        require("seed", self.seed, 0 <= self.seed < 1 << 31, "in [0, 2^31)")


@dataclass(frozen=True)
class DataConfig:
    """Which part of a store a head is trained on."""

    blocks: tuple[str, ...] = ()
    """Feature blocks the head sees; all of the store if none are named."""
    zero_prompt_sources: tuple[str, ...] = ()
    """Sources whose raters saw no prompt: their prompt blocks are zeroed."""
    both_bad_as_tie: bool = False
    """Train on pairs of which both were found bad, as ties; they are dropped otherwise."""
    leave_out: tuple[str, ...] = ()
    """Sources whose pairs are not trained on."""
    clean_valid: bool = False
    """Leave these sources out of validation too; the paper keeps them there."""
    add: tuple[str, ...] = ()
    """Ids of pairs outside the training split that are trained on as well."""


@dataclass(frozen=True)
class Recipe:
    """One head: how it is trained, and on what."""

    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)


def parse_widths(text: str) -> tuple[int, ...]:
    """Reads `256-128-64-32`.

    Raises:
        ValueError: Not whole numbers joined by hyphens.
    """
    if not WIDTHS.fullmatch(text):
        raise ValueError(f"widths: got {text!r}, expected positive whole numbers such as 256-128-64-32")
    return tuple(int(part) for part in text.split("-"))


def require(field_name: str, value: Any, holds: bool, accepted: str) -> None:
    """Raises a ValueError that names the field, the value and what is accepted, unless `holds` and finite."""
    if not holds or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{field_name}: got {value!r}, accepted is {accepted}")
