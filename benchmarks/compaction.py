"""How much of a population's work nobody needs: lanes whose head has stopped, and lanes that fill up a size.

Counted on a scaled-down problem, in member-steps: lanes computed over lanes needed, epoch by epoch. From the epochs
after which the heads stopped it also follows what other sizes would have cost, and how often each would have compiled
the epoch anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks.planted import Sizes, planted_store
from benchmarks.recording import Recording, by_size
from trainers.data import Dataset, load_dataset
from trainers.executors import Stacked
from trainers.fit import fit
from trainers.recipe import DataConfig, Recipe, TrainConfig
from trainers.sampler import distributions, sobol_points
from trainers.space import SearchSpace, recipe_of
from tunejury_jax.blocks import Block
from tunejury_jax.pairs import Split

__all__ = ["LADDERS", "Compaction", "Cost", "cost", "measure_compaction"]

BLOCKS = (Block("audio", 32, "clip"), Block("text", 8, "prompt"))
CLIPS, PROMPTS = 1000, 50
WIDTHS = "64-32"

Ladder = Callable[[int, int], int]
"""Members that the population began with, members that are left -> lanes."""


@dataclass(frozen=True)
class Compaction:
    """The scaled-down problem; successive halving is off."""

    heads: int = 32
    """Heads of each of the two populations."""
    pairs: int = 800
    """Pairs to train on; a quarter as many are validated on."""
    batch_size: int = 16
    """Pairs a step."""
    max_epochs: int = 200
    """Epochs a head gets at most."""
    patience: int = 10
    """Epochs without a better validation loss before a head stops."""


class Cost(NamedTuple):
    """Lane-epochs computed for each one that was needed, and sizes for which the epoch was compiled."""

    waste: float
    programs: int


def measure_compaction(config: Compaction) -> dict[str, Any]:
    """Trains both populations with `Stacked`, and reckons what other ladders would have cost."""
    with TemporaryDirectory() as folder:
        dataset = _dataset(Path(folder) / "store", config)
    found = {name: _population(recipes, dataset) for name, recipes in _populations(config).items()}
    return {
        "compaction_waste": {name: row["waste"] for name, row in found.items()},
        "compaction": {
            "meaning": "lane-epochs computed over lane-epochs needed; ladders are reckoned from stopped_after",
            "problem": {"widths": WIDTHS, "blocks": {block.name: block.dim for block in BLOCKS}, **asdict(config)},
            "populations": found,
        },
    }


def cost(stops: Sequence[int], ladder: Ladder) -> Cost:
    """What a ladder costs where lanes are cut down before every epoch, and never added.

    Args:
        stops: Epochs that each member ran.
        ladder: Sizes of the population.
    """
    sizes = [ladder(len(stops), sum(stop > epoch for stop in stops)) for epoch in range(max(stops))]
    return Cost(sum(sizes) / sum(stops), len({*sizes}))


def _power(members: int) -> int:
    return 1 << (members - 1).bit_length()


def _between(steps: int, members: int) -> int:
    """Powers of two, and so many steps from one to the next."""
    return _multiple(max(1, _power(members) // 2 // steps), members)


def _parts(parts: int, population: int, members: int) -> int:
    """Equal parts of the population; in the last of them powers of two."""
    part = -(-population // parts)
    return min(_power(members), part) if members <= part else _multiple(part, members)


def _multiple(step: int, members: int) -> int:
    return -(-members // step) * step


LADDERS: dict[str, Ladder] = {
    "never cut down": lambda population, members: population,
    "powers of two": lambda population, members: _power(members),
    "powers of two and halfway between": lambda population, members: _between(2, members),
    "powers of two and quarters between": lambda population, members: _between(4, members),
    "quarters of the population": partial(_parts, 4),
    "eighths of the population": partial(_parts, 8),
    "every size": lambda population, members: members,
}


def _dataset(location: Path, config: Compaction) -> Dataset:
    pairs: dict[Split, int] = {"train": config.pairs, "valid": config.pairs // 4}
    return load_dataset(planted_store(location, Sizes(BLOCKS, {"planted": pairs}, CLIPS, PROMPTS)), DataConfig())


def _populations(config: Compaction) -> dict[str, list[Recipe]]:
    """Heads that differ in their hyper-parameters, from the default search space, and heads that differ in seeds."""
    train = TrainConfig(
        batch_size=config.batch_size, max_epochs=config.max_epochs, patience=config.patience, learning_rate=1e-3
    )
    space = distributions(SearchSpace(widths=(WIDTHS,)))
    searched = [recipe_of(Recipe(train), point) for point in sobol_points(space, config.heads, seed=0)]
    widths = searched[0].train.widths
    seeds = [Recipe(replace(train, widths=widths, seed=seed)) for seed in range(config.heads)]
    return {"hyper-parameters": searched, "seeds": seeds}


def _population(recipes: Sequence[Recipe], dataset: Dataset) -> dict[str, Any]:
    recording = Recording(Stacked)
    fits = [fitted for _, fitted in fit(dict(enumerate(recipes)), dataset, executor=recording)]
    stops = [fitted.epochs for fitted in fits]
    (epochs,) = recording.populations
    return {
        "waste": sum(epoch.lanes for epoch in epochs) / sum(stops),
        "waste_without_compaction": epochs[0].lanes * len(epochs) / sum(stops),
        "stopped_after": sorted(stops),
        "stopped_at_the_cap": sum(fitted.epochs == fitted.recipe.train.max_epochs for fitted in fits),
        "seconds": sum(epoch.seconds for epoch in epochs),
        "sizes": {lanes: size._asdict() for lanes, size in by_size(epochs).items()},
        "ladders": {name: cost(stops, ladder)._asdict() for name, ladder in LADDERS.items()},
    }
