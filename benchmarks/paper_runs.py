"""The paper's trainings on an accelerator: one recipe, and all heads of the preset `paper` with several seeds."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax

from benchmarks.ours import our_epochs
from benchmarks.planted import Sizes, planted_store
from benchmarks.synthetic import CLIPS, PROMPTS, paper_size
from trainers.config import SweepConfig
from trainers.presets import AIME, MA, MP, MUQ, RELEASE, SE
from trainers.sweeping import sweep
from trainers.view import Pairs
from tunejury_jax.blocks import BLOCKS
from tunejury_jax.pairs import Split

__all__ = ["PaperRuns", "measure_paper", "paper_on_accelerator"]

PAPER_BLOCKS = tuple(block for block in BLOCKS if block.name in (*RELEASE, *MUQ))
SPLITS: tuple[Split, ...] = ("train", "valid", "test", "none")
PUBLISHED = {MA: (571, 54, 74, 640), MP: (2012, 251, 252, 0), AIME: (12480, 1560, 1560, 0), SE: (2491, 246, 249, 0)}
"""Pairs by source and split; those of no split stand for the later battles of the K-sweep."""
DATA = "random features with a planted preference, pairs by source as published"
TARGET_S = 5.0
NOT_RUN = "not run: there is no accelerator, and on a CPU this takes hours"


@dataclass(frozen=True)
class PaperRuns:
    """How much of the paper to train; the defaults are all of it."""

    seeds: int = 5
    """Seeds of every head of the preset."""
    max_epochs: int = 1000
    """Epochs a head of the preset gets at most."""
    recipe_epochs: int = 60
    """Epochs of the one recipe."""
    scale: float = 1.0
    """Share of the paper's pairs, clips and prompts."""

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1:
            raise ValueError(f"scale: got {self.scale}, accepted is above 0, up to 1")


def paper_on_accelerator(config: PaperRuns) -> dict[str, Any]:
    """Times the paper's trainings, or says that there is no accelerator for them."""
    return {"paper": NOT_RUN} if jax.default_backend() == "cpu" else measure_paper(config)


def measure_paper(config: PaperRuns) -> dict[str, Any]:
    """Times one recipe and the preset."""
    return {"paper": {"config": asdict(config), "recipe": _recipe(config), "preset": _preset(config)}}


def _recipe(config: PaperRuns) -> dict[str, Any]:
    """One head with the published recipe on data of the paper's size; the first epoch compiles and is not counted."""
    data = paper_size()
    pairs = Pairs(*(rows[: _scaled(len(rows), config)] for rows in data.pairs))
    run = our_epochs(data.arrays, pairs)
    first_s = _seconds(run)
    seconds = sum(_seconds(run) for _ in range(config.recipe_epochs))
    return {"epochs": config.recipe_epochs, "seconds": seconds, "target_s": TARGET_S, "first_epoch_s": first_s}


def _preset(config: PaperRuns) -> dict[str, Any]:
    """Every head of the paper, as the command trains them: compilation, weights kept, held-out pairs and report."""
    with TemporaryDirectory() as folder:
        store, increment, run = (Path(folder) / name for name in ("store", "increment.json", "run"))
        sizes = _sizes(config)
        planted_store(store, sizes)
        later = [f"{MA}-none-{number}" for number in range(sizes.pairs[MA]["none"])]
        increment.write_text(json.dumps({"new_uuids": later}))
        asked = SweepConfig(
            store=str(store),
            out=str(run),
            preset="paper",
            seeds=config.seeds,
            increment=str(increment),
            max_epochs=config.max_epochs,
        )
        seconds = _seconds(partial(sweep, asked, str(store)))
        trials = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
    epochs = sum(trial["epochs"] for trial in trials)
    return {"heads": len(trials), "head_epochs": epochs, "seconds": seconds, "data": DATA}


def _sizes(config: PaperRuns) -> Sizes:
    pairs: dict[str, dict[Split, int]] = {
        source: {split: _scaled(count, config) for split, count in zip(SPLITS, counts, strict=True) if count}
        for source, counts in PUBLISHED.items()
    }
    return Sizes(PAPER_BLOCKS, pairs, _scaled(CLIPS, config), _scaled(PROMPTS, config))


def _scaled(count: int, config: PaperRuns) -> int:
    return max(4, round(count * config.scale))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
