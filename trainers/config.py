"""What a run is asked to do: frozen dataclasses, which are also the command line."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

from tunejury_jax.head_config import PAPER_WIDTHS
from tunejury_jax.pairs import Split

__all__ = [
    "DataConfig",
    "EvaluateConfig",
    "ExportConfig",
    "RunConfig",
    "SearchSpace",
    "SweepConfig",
    "TrainConfig",
    "parse_widths",
]

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
        _require("learning_rate", self.learning_rate, self.learning_rate > 0, "above 0")
        _require("weight_decay", self.weight_decay, self.weight_decay >= 0, "at least 0")
        _require("dropout", self.dropout, 0 <= self.dropout < 1, "in [0, 1)")
        _require("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing <= 1, "in [0, 1]")
        _require("batch_size", self.batch_size, self.batch_size >= 2, "at least 2 (BatchNorm needs two rows)")
        _require("widths", self.widths, bool(self.widths) and min(self.widths) >= 1, "one or more positive widths")
        _require("max_epochs", self.max_epochs, self.max_epochs >= 1, "at least 1")
        _require("patience", self.patience, self.patience >= 1, "at least 1")
        _require("min_delta", self.min_delta, self.min_delta >= 0, "at least 0")
        _require("seed", self.seed, 0 <= self.seed < 1 << 31, "in [0, 2^31)")


@dataclass(frozen=True)
class DataConfig:
    """Which part of a store is used."""

    blocks: tuple[str, ...] = ()
    """Feature blocks the head sees; all of the store if none are named."""
    zero_prompt_sources: tuple[str, ...] = ()
    """Sources whose raters saw no prompt: their prompt blocks are zeroed."""
    both_bad_as_tie: bool = False
    """Train on pairs of which both were found bad, as ties; they are dropped otherwise."""


@dataclass(frozen=True)
class RunConfig:
    """One training run."""

    store: str
    """A sealed feature store."""
    out: str
    """Run folder."""
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)


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
        _require("space.dropout", self.dropout, self.dropout[1] < 1, "a range within [0, 1)")
        _require("space.label_smoothing", self.label_smoothing, self.label_smoothing[1] <= 1, "a range within [0, 1]")
        _require("space.widths", self.widths, bool(self.widths), "at least one choice such as 256-128-64-32")
        for choice in self.widths:
            parse_widths(choice)


@dataclass(frozen=True)
class SweepConfig:
    """A search over heads of one store."""

    store: str | None = None
    """A sealed feature store; without one, the embedded demo data set is synthesised and exported first."""
    out: str = "runs/sweep"
    """Run folder; the same command again continues it."""
    trials: int = 16
    """Heads to train."""
    population: int = 8
    """Heads trained together, and proposed together: a batch of the search."""
    max_epochs: int = 1000
    """Epochs a head gets at most."""
    patience: int = 30
    """Epochs without a better validation loss before a head stops."""
    batch_size: int = 32
    """Pairs a step."""
    seed: int = 42
    """The sweep follows from this alone."""
    space: SearchSpace = field(default_factory=SearchSpace)
    data: DataConfig = field(default_factory=DataConfig)

    def __post_init__(self) -> None:
        _require("trials", self.trials, self.trials >= 1, "at least 1")
        _require("population", self.population, self.population >= 1, "at least 1")
        TrainConfig(max_epochs=self.max_epochs, patience=self.patience, batch_size=self.batch_size, seed=self.seed)


@dataclass(frozen=True)
class EvaluateConfig:
    """An evaluation of a checkpoint on a store."""

    store: str
    """A sealed feature store."""
    checkpoint: str
    """Checkpoint folder."""
    out: str
    """Folder for metrics.json and predictions.csv."""
    split: Split = "test"
    """Split of the store."""


@dataclass(frozen=True)
class ExportConfig:
    """A release of a run's best head."""

    run: str
    """Run folder of a training run or a sweep."""
    out: str
    """Checkpoint folder to write."""


def parse_widths(text: str) -> tuple[int, ...]:
    """Reads `256-128-64-32`.

    Raises:
        ValueError: Not whole numbers joined by hyphens.
    """
    if not WIDTHS.fullmatch(text):
        raise ValueError(f"widths: got {text!r}, expected positive whole numbers such as 256-128-64-32")
    return tuple(int(part) for part in text.split("-"))


def _require(field_name: str, value: Any, holds: bool, accepted: str) -> None:
    if not holds or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{field_name}: got {value!r}, accepted is {accepted}")


def _range(field_name: str, value: tuple[float, float], *, above_zero: bool) -> None:
    low, high = value
    _require(field_name, value, 0 <= low <= high < math.inf, "a range LOW HIGH with 0 <= LOW <= HIGH")
    _require(field_name, value, low > 0 or not above_zero, "a range above 0, it is searched on a log scale")
