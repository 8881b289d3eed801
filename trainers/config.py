"""What a run is asked to do: frozen dataclasses, which are also the command line."""

import itertools
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

from trainers.recipe import DataConfig, Recipe, TrainConfig, require
from trainers.space import SearchSpace
from tunejury_jax.pairs import Split

__all__ = [
    "EvaluateConfig",
    "ExportConfig",
    "ExportFormat",
    "HostsConfig",
    "PresetName",
    "RunConfig",
    "SweepConfig",
    "TrackerName",
]

PresetName = Literal[
    "release", "leave-out", "input-ablation", "musicprefs-zero", "seeds", "encoder-swap", "k-sweep-retrain", "paper"
]
TrackerName = Literal["tensorboard", "wandb"]
ExportFormat = Literal["safetensors", "torch", "orbax", "stablehlo"]
PRESET_ONLY = ("seeds", "increment")
SEARCH_ONLY = ("trials", "halving", "keep", "space")


@dataclass(frozen=True)
class RunConfig:
    """One training run."""

    store: str
    """A sealed feature store."""
    out: str
    """Run folder; the same command again continues it."""
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    trackers: tuple[TrackerName, ...] = ()
    """Further places for the metrics; epochs.jsonl is always written."""
    save_every_s: float = 60.0
    """Seconds between saves of the training state, from which a killed run continues."""

    def __post_init__(self) -> None:
        require("save_every_s", self.save_every_s, self.save_every_s >= 0, "at least 0")


@dataclass(frozen=True)
class HostsConfig:
    """Processes that train one sweep together, each with its own devices; all are given the same command."""

    coordinator: str | None = None
    """HOST:PORT of the first process; `auto` under SLURM, Open MPI or on a TPU pod."""
    count: int = 1
    """How many processes; not with auto."""
    index: int = 0
    """Which of them this is, from 0; not with auto."""

    def __post_init__(self) -> None:
        alone = self.coordinator in (None, "auto")
        require("hosts.count", self.count, self.count == 1 if alone else self.count >= 1, "1, or with HOST:PORT more")
        require("hosts.index", self.index, 0 <= self.index < self.count, f"0 to {self.count - 1}")


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
    hosts: HostsConfig = field(default_factory=HostsConfig)

    def __post_init__(self) -> None:
        require("trials", self.trials, self.trials >= 1, "at least 1")
        require("seeds", self.seeds, self.seeds >= 1, "at least 1")
        require("population", self.population, self.population is None or self.population >= 1, "at least 1")
        require("keep", self.keep, self.keep >= 1, "at least 1")
        require("save_every_s", self.save_every_s, self.save_every_s >= 0, "at least 0")
        rising = all(a < b for a, b in itertools.pairwise((0, *self.halving)))
        require("halving", self.halving, rising, "rising epochs from 1")
        together = self.hosts.coordinator is None or self.store is not None
        require("store", self.store, together, "a sealed store, where several hosts train together")
        _ = self.recipe  # which checks its fields
        self._refuse_what_does_not_apply()

    @property
    def recipe(self) -> Recipe:
        """What heads have that nothing else is chosen for."""
        train = TrainConfig(
            batch_size=self.batch_size, max_epochs=self.max_epochs, patience=self.patience, seed=self.seed
        )
        return Recipe(train, self.data)

    def _refuse_what_does_not_apply(self) -> None:
        """An option that would be ignored is a mistake."""
        others = PRESET_ONLY if self.preset is None else SEARCH_ONLY
        given = [name for name in others if getattr(self, name) != _default(name)]
        if given:
            kind = f"preset {self.preset}" if self.preset else "search without --preset"
            raise ValueError(f"{given[0]}: got {getattr(self, given[0])!r}, which a {kind} does not use")


def _default(name: str) -> Any:
    found = next(field for field in fields(SweepConfig) if field.name == name)
    return found.default if found.default_factory is MISSING else found.default_factory()


@dataclass(frozen=True)
class EvaluateConfig:
    """An evaluation of a checkpoint on a store, or of several as a table: trained on, tested on."""

    store: str
    """A sealed feature store."""
    checkpoint: tuple[str, ...]
    """Checkpoint folders, also as NAME=FOLDER."""
    out: str
    """Folder for metrics.json and predictions.csv."""
    split: Split = "test"
    """Split of the store."""
    group_by: str = "question"
    """Measure the pairs of each source apart by this column, too: question, confidence, system_a, system_b, rater..."""

    def __post_init__(self) -> None:
        require("checkpoint", self.checkpoint, bool(self.checkpoint), "one or more folders")


@dataclass(frozen=True)
class ExportConfig:
    """A release of a run's best head, or of several of its heads as an ensemble that scores by their mean."""

    run: str
    """Run folder of a training run or a sweep."""
    out: str
    """Folder to write."""
    format: ExportFormat = "safetensors"
    """safetensors: a checkpoint, as everything here reads it; torch: .pt files as upstream's code loads them; orbax:
    arrays for JAX programs; stablehlo: the compiled scoring function, which runs without this project."""
    top: int | None = None
    """Combine this many of the best heads that the run kept: those of the widths, blocks and data of the best one."""
    trials: tuple[int, ...] = ()
    """Combine the heads of these trials."""
    head: str | None = None
    """Combine all seeds of this head of a preset."""

    def __post_init__(self) -> None:
        asked = {"top": self.top is not None, "trials": bool(self.trials), "head": self.head is not None}
        chosen = [name for name, given in asked.items() if given]
        require("top, trials, head", ", ".join(chosen), len(chosen) <= 1, "one of them")
        require("top", self.top, self.top is None or self.top >= 1, "at least 1")
