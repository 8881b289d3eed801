"""python -m trainers.sweep: search over heads of one feature store."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from trainers.config import SweepConfig
from trainers.sweep_file import read_sweep
from tunejury_jax.console import command

__all__ = ["main"]

PROGRAM = "python -m trainers.sweep"


@dataclass(frozen=True)
class SweepOptions:
    """A search over heads of one store, or the heads of a preset."""

    sweep: Annotated[SweepConfig, tyro.conf.arg(name="")] = field(default_factory=SweepConfig)
    config: Path | None = None
    """TOML file of these options, with tables [space] and [data]; options of the command line override it."""


def run(options: SweepOptions) -> None:
    """Runs the sweep that the options ask for, on top of their file where they name one."""
    if options.config is not None:
        asked = SweepOptions(read_sweep(options.config), options.config)
        options = tyro.cli(SweepOptions, prog=PROGRAM, default=asked)
    main(options.sweep)


def main(config: SweepConfig) -> None:
    """Trains `trials` heads, keeps the best, measures it on held-out pairs and writes a report."""
    from trainers.sweeping import sweep  # here, so that --help does not wait for JAX and Optuna

    sweep(config, config.store or _demo_store(Path(config.out)))


def _demo_store(out: Path) -> str:
    """Makes the demo store through the export command, as any store is made: this side never imports torch."""
    folder = out / "demo"
    print("No --store: synthesising and exporting the embedded demo data set", file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, "-m", "feature_export", "demo", "--out", str(folder)], check=False)
    if done.returncode:
        raise ValueError(f"store: none was given, and the demo data set could not be exported to {folder}, see above")
    return str(folder / "store")


if __name__ == "__main__":
    command(PROGRAM, SweepOptions, run)
