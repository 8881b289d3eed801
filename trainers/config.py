"""What a run is asked to do: frozen dataclasses, which are also the command line."""

import itertools
from dataclasses import dataclass, field
from typing import Literal

from trainers.recipe import DataConfig, TrainConfig, require
from trainers.space import SearchSpace
from tunejury_jax.pairs import Split

__all__ = [
    "EvaluateConfig",
    "ExportConfig",
    "PresetName",
    "RunConfig",
    "SweepConfig",
    "TrackerName",
]

PresetName = Literal[
    "release", "leave-out", "input-ablation", "musicprefs-zero", "seeds", "encoder-swap", "k-sweep-retrain", "paper"
]
TrackerName = Literal["tensorboard", "wandb"]


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
class SweepConfig:
    """A search over heads of one store, or the heads of a preset."""

    store: str | None = None
    """A sealed feature store; without one, the embedded demo data set is synthesised and exported first."""
    out: str = "runs/sweep"
    """Run folder; the same command again continues it."""
    preset: PresetName | None = None
    """Train the heads of a preset instead of searching; see docs/training.md."""
    seeds: int = 5
    """Seeds of each head of a preset."""
    increment: str | None = None
    """For k-sweep-retrain and paper: JSON file whose `new_uuids` are the ids of the pairs to add."""
    trials: int = 16
    """Heads to train in a search."""
    population: int | None = None
    """Heads trained together, and proposed together: a batch of the search. Default: 8, and for a preset as many as
    fit into memory."""
    halving: tuple[int, ...] = ()
    """Epochs after which the worse half of a population is stopped."""
    keep: int = 8
    """Best heads of a search whose weights are kept; a preset keeps all."""
    max_epochs: int = 1000
    """Epochs a head gets at most."""
    patience: int = 30
    """Epochs without a better validation loss before a head stops."""
    batch_size: int = 32
    """Pairs a step."""
    seed: int = 42
    """The sweep follows from this alone."""
    storage: str | None = None
    """Optuna storage URL (sqlite:///FILE, postgresql://...) that several machines may share, each with its own `out`;
    default: a journal file in the run folder."""
    trackers: tuple[TrackerName, ...] = ()
    """Further places for the metrics; epochs.jsonl is always written."""
    save_every_s: float = 60.0
    """Seconds between saves of the training state, from which a killed run continues."""
    space: SearchSpace = field(default_factory=SearchSpace)
    data: DataConfig = field(default_factory=DataConfig)

    def __post_init__(self) -> None:
        require("trials", self.trials, self.trials >= 1, "at least 1")
        require("seeds", self.seeds, self.seeds >= 1, "at least 1")
        require("population", self.population, self.population is None or self.population >= 1, "at least 1")
        require("keep", self.keep, self.keep >= 1, "at least 1")
        require("save_every_s", self.save_every_s, self.save_every_s >= 0, "at least 0")
        rising = all(a < b for a, b in itertools.pairwise((0, *self.halving)))
        require("halving", self.halving, rising, "rising epochs from 1")
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
