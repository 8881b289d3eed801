"""The end of a run: the best head is released, measured on held-out pairs, and shown."""

import dataclasses
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from trainers.data import Dataset
from trainers.evaluation import Evaluation, evaluate
from trainers.evaluation_tables import show_accuracy
from trainers.fit import Fit
from trainers.reporting.run_page import write_report
from trainers.run_folder import RunFolder, ranked
from trainers.storage import shown
from trainers.view import own_layout, pool_sizes, pool_sources
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.console import make_console
from tunejury_jax.documents import as_json
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.store import FeatureStore

__all__ = ["environment", "finish", "release", "resolved", "show_tables"]

PACKAGES = ("tunejury-jax", "jax", "flax", "optax", "numpy", "tensorstore")
LEADERBOARD_ROWS = 10


def environment() -> dict[str, str]:
    """Versions and device, recorded with a run and never compared."""
    packages = {name: version(name) for name in PACKAGES}
    return {**packages, "python": platform.python_version(), "device": jax.devices()[0].device_kind}


def resolved(asked: Any, store: FeatureStore) -> dict[str, Any]:
    """The `config.json` of a run: what was asked, of which store, with what."""
    options = {name: value for name, value in dataclasses.asdict(asked).items() if name != "out"}
    if options.get("storage"):
        options["storage"] = shown(options["storage"])  # without its password
    identity = {"sha256": store.sha256, "sources": list(store.plan.sources)}
    return {"asked": as_json(options), "store": identity, "environment": environment()}


def release(fitted: Fit, dataset: Dataset, store: FeatureStore) -> Checkpoint:
    """The checkpoint of a fitted head."""
    recipe = fitted.recipe
    training = {
        "config": as_json(dataclasses.asdict(recipe.train)),
        "data": as_json(dataclasses.asdict(recipe.data)),
        "store": {"sha256": store.sha256, "sources": list(store.plan.sources)},
        "pairs": pool_sizes(dataset, recipe.data),
        "pairs_by_source": pool_sources(dataset, recipe.data),
        "best_epoch": fitted.best_epoch,
        "environment": environment(),
    }
    metrics = {
        "valid_loss": fitted.valid_loss,
        "valid_accuracy": fitted.valid_accuracy,
        "valid_score_mean": fitted.valid_score,
    }
    layout = own_layout(dataset.layout, recipe.data)
    encoders = {name: dataset.encoders[name].provenance for name in layout.names}
    return Checkpoint(
        HeadConfig(layout.dim, recipe.train.widths), layout, encoders, fitted.variables, training, metrics
    )


def finish(
    folder: RunFolder,
    dataset: Dataset,
    store: FeatureStore,
    trials: Sequence[Mapping[str, Any]],
    *,
    leaderboard: bool = True,
) -> None:
    """Measures a run's best head on the test split, writes the report and prints what came out.

    Args:
        folder: The run.
        dataset: What its heads were trained on.
        store: Where that is from.
        trials: How they ended, as the lines of `trials.jsonl` have it.
        leaderboard: Whether to print one: the heads of a preset have other validation pairs and do not compare.

    Raises:
        ValueError: Every trial failed.
    """
    best_first = ranked(trials)
    if not best_first:
        raise ValueError(f"{folder.path}: all {len(trials)} heads failed; see {folder.trials}")
    measured = _measure_held_out(folder, dataset, store) if dataset.decisive("test") else None
    report = write_report(folder.path)
    console = make_console()
    if leaderboard:
        console.print(_leaderboard(best_first))
    if measured:
        show_accuracy(console, measured.metrics)
    else:
        console.print("The store has no decisive test pair: nothing was measured on held-out pairs")
    console.print(_ends(trials, folder), soft_wrap=True)
    console.print(f"Report: {report}", soft_wrap=True)
    console.print(f"Next:   tunejury score YOUR_FILE.wav --checkpoint {folder.best}", soft_wrap=True)


def _ends(trials: Sequence[Mapping[str, Any]], folder: RunFolder) -> str:
    """How the heads ended, and where to look."""
    count = Counter(trial["state"] for trial in trials)
    pruned = f"{count['pruned']} of {len(trials)} heads stopped at a rung. " if count["pruned"] else ""
    failed = f"{count['failed']} of {len(trials)} heads failed, see {folder.trials}"
    return pruned + (failed if count["failed"] else "No head failed.")


def _measure_held_out(folder: RunFolder, dataset: Dataset, store: FeatureStore) -> Evaluation:
    """Evaluates the best head on the test split, and lets its checkpoint say so."""
    checkpoint = Checkpoint.load(folder.best)
    measured = evaluate(checkpoint, dataset, store, "test")
    measured.save(folder.test)
    held_out = {f"test_{name}": measured.metrics[name] for name in ("accuracy", "log_loss", "ece")}
    dataclasses.replace(checkpoint, metrics={**checkpoint.metrics, **held_out}).save(folder.best)
    return measured


def show_tables(console: Console, tables: Sequence[Mapping[str, Any]]) -> None:
    """Prints the tables of a preset."""
    for found in tables:
        table = Table(*found["header"], title=found["title"])
        for row in found["rows"]:
            table.add_row(*row)
        console.print(table)
        console.print(found["note"])


def _leaderboard(trials: Sequence[Mapping[str, Any]]) -> Table:
    names = sorted({name for trial in trials for name in trial["params"]})
    title = f"Leaderboard, best {min(len(trials), LEADERBOARD_ROWS)} of {len(trials)}"
    headings = [name.replace("_", " ") for name in names]  # underscores would not wrap
    table = Table("trial", "valid loss", "valid accuracy", "best epoch", *headings, title=title)
    for trial in trials[:LEADERBOARD_ROWS]:
        measured = (f"{trial['valid_loss']:.4f}", f"{trial['valid_accuracy']:.4f}", str(trial["best_epoch"]))
        table.add_row(str(trial["trial"]), *measured, *(_short(trial["params"].get(name, "")) for name in names))
    return table


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
