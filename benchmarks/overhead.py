"""What a sweep's bookkeeping costs: proposing heads, logging epochs, keeping weights, saving the training state.

A search runs on a sealed store through the function that the command calls. The clock starts when the sweep first
turns to its study and stops when the last head has ended: reading the store, the evaluation on held-out pairs and the
report are left out. What is not
spent in epochs is overhead. Compilation is reported for itself: by how much the first epoch of a population, and the
first head that was made, took longer than the others.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from benchmarks.planted import Sizes, planted_store
from benchmarks.recording import Calls, Recording, by_size
from benchmarks.stopwatch import Place, Stopwatch
from trainers import fit, sweeping
from trainers.config import SweepConfig
from trainers.executors import for_backend
from trainers.kept import KeptHeads
from trainers.live_table import LiveTable
from trainers.run_folder import RunFolder
from trainers.saves import Saves
from trainers.search import Search
from trainers.space import SearchSpace
from tunejury_jax.blocks import Block
from tunejury_jax.pairs import Split

__all__ = ["Overhead", "measure_overhead"]

BLOCKS = (Block("audio", 1536, "clip"), Block("text", 512, "prompt"))
CLIPS, PROMPTS = 1500, 300
TARGET = 0.05
MEANING = (
    "seconds outside of epochs over seconds from the first look into the study to the end of the last head; reading "
    "the store, compilation, evaluation on held-out pairs and the report are left out"
)
PARTS: Mapping[str, Place] = {
    "ask": (Search, "ask"),
    "tell": (Search, "tell"),
    "rows of the study": (Search, "rows"),
    "log_epoch": (RunFolder, "log_epoch"),
    "write_trials": (RunFolder, "write_trials"),
    "release (a head as a checkpoint)": (sweeping, "release"),
    "kept.add": (KeptHeads, "add"),
    "saves, opened": (Saves, "__init__"),
    "saves.save": (Saves, "save"),
    "saves.clear": (Saves, "clear"),
    "saves, closed": (Saves, "__exit__"),
    "live table, epochs": (LiveTable, "epoch"),
    "live table, starts": (LiveTable, "start"),
    "live table, ends": (LiveTable, "end"),
    "init_member": (fit, "init_member"),
    "view_all": (fit, "view_all"),
}


@dataclass(frozen=True)
class Overhead:
    """The sweep to watch."""

    pairs: int = 2000
    """Pairs to train on; an eighth as many are validated on."""
    widths: str = "1024-512-256-128"
    """Hidden layers of all heads."""
    trials: int = 32
    """Heads of the search."""
    population: int = 8
    """Heads trained together."""
    max_epochs: int = 8
    """Epochs a head gets."""
    save_every_s: float = 60.0
    """Seconds between saves of the training state, as the command has it."""


def measure_overhead(config: Overhead) -> dict[str, Any]:
    """Runs the sweep and takes its time apart."""
    recording, watch = Recording(for_backend()), Stopwatch()
    with TemporaryDirectory() as folder:
        total_s = _sweep(Path(folder), config, recording, watch)
    compile_s = {"epochs": _compile_s(recording), "init_member": Calls.of(watch.calls["init_member"]).compile_s}
    epochs_s = sum(epoch.seconds for epochs in recording.populations for epoch in epochs) - compile_s["epochs"]
    measured_s = total_s - sum(compile_s.values())
    return {
        "overhead_share": 1 - epochs_s / measured_s,
        "overhead": {
            "meaning": MEANING,
            "target": TARGET,
            "sweep": asdict(config),
            "total_s": total_s,
            "epochs_s": epochs_s,
            "compile_s": compile_s,
            "parts": _parts(watch, compile_s["init_member"], measured_s - epochs_s, measured_s),
        },
    }


def _compile_s(recording: Recording) -> float:
    return sum(calls.compile_s for epochs in recording.populations for calls in by_size(epochs).values())


def _parts(watch: Stopwatch, compile_s: float, overhead_s: float, measured_s: float) -> dict[str, dict[str, float]]:
    """Seconds of each part, their share of the sweep and the number of calls, the largest part first."""
    seconds = {name: sum(calls) for name, calls in watch.calls.items()}
    seconds["init_member"] -= compile_s
    seconds["all else"] = overhead_s - sum(seconds.values())
    ranked = sorted(seconds.items(), key=lambda part: -part[1])
    return {name: {"seconds": s, "share": s / measured_s, "calls": len(watch.calls[name])} for name, s in ranked}


def _sweep(folder: Path, config: Overhead, recording: Recording, watch: Stopwatch) -> float:
    """Runs it; returns its seconds."""
    pairs: dict[Split, int] = {"train": config.pairs, "valid": config.pairs // 8}
    planted_store(folder / "store", Sizes(BLOCKS, {"planted": pairs}, CLIPS, PROMPTS))
    asked = SweepConfig(
        store=str(folder / "store"),
        out=str(folder / "run"),
        trials=config.trials,
        population=config.population,
        max_epochs=config.max_epochs,
        save_every_s=config.save_every_s,
        space=SearchSpace(widths=(config.widths,)),
    )
    ended: list[float] = []

    def end(*arguments: Any, **options: Any) -> None:
        ended.append(time.perf_counter())

    with (
        patch.object(fit, "for_backend", lambda: recording),
        patch.object(sweeping, "finish", end),
        watch.watching(PARTS),
    ):
        sweeping.sweep(asked, str(folder / "store"))
    assert watch.first_started is not None
    return ended[0] - watch.first_started
