"""python -m trainers.sweep: search over heads of one feature store."""

import subprocess
import sys
from pathlib import Path

from trainers.config import SweepConfig
from tunejury_jax.console import command

__all__ = ["main"]


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
    command("python -m trainers.sweep", SweepConfig, main)
