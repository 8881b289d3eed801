"""A sweep from its first batch to its report."""

import contextlib
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from trainers.config import SweepConfig
from trainers.data import Dataset, load_dataset
from trainers.epoch_log import epoch_log
from trainers.fit import fit
from trainers.hosts import agree, join, leads
from trainers.kept import KeptHeads
from trainers.live_table import LiveTable, live_table
from trainers.memory import capacity, member_bytes, require_memory
from trainers.paper_table import paper_tables
from trainers.preset_results import measure_heads
from trainers.presets import FULL, PresetHead, plan
from trainers.recipe import DataConfig, Recipe, parse_widths
from trainers.results import finish, release, resolved, show_tables
from trainers.run_folder import RunFolder, identity
from trainers.sampler import POPULATION
from trainers.saves import Saves
from trainers.search import Proposal, Search
from trainers.tracking.trackers import make_trackers
from trainers.view import shared_data
from tunejury_jax.console import make_console
from tunejury_jax.head_config import PAPER_WIDTHS, HeadConfig
from tunejury_jax.store import FeatureStore

__all__ = ["sweep"]


def sweep(config: SweepConfig, store_location: str) -> None:
    """Runs or continues a sweep on a sealed store.

    Args:
        config: What to search or which preset to train, and the run folder.
        store_location: The store, since `config.store` may be left open.

    Raises:
        ValueError: The store, the run folder or the data do not fit what was asked; says how.
    """
    join(config.hosts)
    store = FeatureStore.open_sealed(store_location)
    heads = plan(config, store) if config.preset else []
    dataset = load_dataset(store, _data(config, [head.recipe for head in heads]))
    if leads():
        _lead(config, heads, dataset, store)
    else:
        _follow(config, dataset)


def _follow(config: SweepConfig, dataset: Dataset) -> None:
    """Trains with the first process whatever that says, and leaves writing to it."""
    while recipes := agree({}):
        for _ in fit(recipes, dataset, halving=config.halving):
            pass


def _lead(config: SweepConfig, heads: Sequence[PresetHead], dataset: Dataset, store: FeatureStore) -> None:
    folder, asked = RunFolder(Path(config.out)), resolved(config, store)
    folder.claim(asked)
    listed = [({"head": head.name, "seed": head.recipe.train.seed}, head.recipe) for head in heads]
    batches = _with_population(config, [head.recipe for head in heads], dataset)
    search = Search(batches, config.storage or folder.journal, folder.worker, _shared(asked), listed)
    _Sweep(config, heads, folder, search, dataset, store).run(len(heads) or config.trials)
    if heads:
        measured = measure_heads(folder, config, search.rows(), dataset, store)
        tables = paper_tables(measured, dataset)
        folder.write_measured([head.line() for head in measured], tables)
        show_tables(make_console(), tables)
    finish(folder, dataset, store, search.rows(), leaderboard=not heads)


def _data(config: SweepConfig, recipes: Sequence[Recipe]) -> DataConfig:
    """What must be loaded: of a search over blocks, all of them."""
    if recipes:
        return shared_data([recipe.data for recipe in recipes])
    return replace(config.data, blocks=()) if config.space.blocks else config.data


def _with_population(config: SweepConfig, recipes: Sequence[Recipe], dataset: Dataset) -> SweepConfig:
    """With the heads of a batch: of a preset as many as fit, unless told otherwise.

    Raises:
        ValueError: So many do not fit into memory.
    """
    shapes = [(recipe.train.widths, recipe.train.batch_size) for recipe in recipes] or _searched_shapes(config)
    largest = max(shapes, key=lambda shape: member_bytes(HeadConfig(dataset.layout.dim, shape[0]), shape[1]))
    head, batch_size = HeadConfig(dataset.layout.dim, largest[0]), largest[1]
    default = max(1, min(capacity(head, batch_size), len(recipes))) if recipes else POPULATION
    population = min(config.population or default, len(recipes) or config.trials)
    require_memory(population, head, batch_size)
    return replace(config, population=config.population or default)


def _searched_shapes(config: SweepConfig) -> list[tuple[tuple[int, ...], int]]:
    """Widths and batch sizes that a search may come to; of a range of batch sizes, its ends."""
    space = config.space.dimensions()
    widths = [parse_widths(str(text)) for text in space["widths"].values] if "widths" in space else [PAPER_WIDTHS]
    sizes = [int(size) for size in space["batch_size"].values] if "batch_size" in space else [config.batch_size]
    return list(itertools.product(widths, sizes))


class _Sweep:
    """Where a sweep writes what happens while its heads train."""

    def __init__(
        self,
        config: SweepConfig,
        heads: Sequence[PresetHead],
        folder: RunFolder,
        search: Search,
        dataset: Dataset,
        store: FeatureStore,
    ) -> None:
        self._full = any(head.name == FULL for head in heads)
        self._config, self._folder, self._search, self._dataset, self._store = config, folder, search, dataset, store
        self._kept = KeptHeads(folder, None if config.preset else config.keep)
        self._trackers = make_trackers(config.trackers, folder.path, dataclasses.asdict(config))

    def run(self, heads: int) -> None:
        """Trains until the search has all its heads."""
        self._folder.forget_epochs(self._search.finished)
        done = self._search.rows()
        self._folder.write_trials(done)  # a run that was killed may have recorded trials and no more
        with self._saves() as saves, live_table("sweep", heads, self._config.max_epochs, len(done)) as table:
            while batch := self._search.ask():
                self._train(batch, saves, table)
            agree({})  # there is no more
            if saves:
                saves.clear()
        for tracker in self._trackers:
            tracker.finish(self._search.rows())

    def _saves(self) -> contextlib.AbstractContextManager[Saves | None]:
        """None with several processes: what one of them restores, the others would have to have saved."""
        if jax.process_count() > 1:
            return contextlib.nullcontext()
        return Saves(self._folder.state, self._config.save_every_s)

    def _contenders(self, batch: Sequence[Proposal]) -> set[int]:
        """Who may be the best of the run: of a preset with a full head only its seeds, others are judged otherwise."""
        return {proposal.number for proposal in batch if not self._full or proposal.params["head"] == FULL}

    def _train(self, batch: Sequence[Proposal], saves: Saves | None, table: LiveTable) -> None:
        recipes = agree({proposal.number: proposal.recipe for proposal in batch})
        table.start(list(recipes))
        halving, contenders = self._config.halving, self._contenders(batch)
        log = epoch_log(self._folder, table, self._trackers)
        for number, fitted in fit(recipes, self._dataset, log, halving=halving, saves=saves):
            if fitted.state == "complete":
                self._kept.add(number, release(fitted, self._dataset, self._store), contender=number in contenders)
            self._search.tell(number, fitted)
            self._folder.write_trials(self._search.rows())
            table.end(number, fitted.state)


def _shared(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What workers that share a storage must agree on; each may reach it by another address."""
    found = identity(asked)
    return {**found, "asked": {name: value for name, value in found["asked"].items() if name != "storage"}}
