"""python -m trainers.export: copy a run's best head out as a checkpoint folder."""

from pathlib import Path

from trainers.config import ExportConfig
from tunejury_jax.console import command

__all__ = ["main"]


def main(config: ExportConfig) -> None:
    """Loads the run's best checkpoint, which checks every array of it, and writes it to its own folder."""
    from tunejury_jax.checkpoint import Checkpoint  # here, so that --help does not wait for JAX

    best = Path(config.run) / "best"
    if not best.exists():
        raise ValueError(f"run: {config.run} has no best/ yet; a run folder gets one after its first batch of heads")
    out = Path(config.out)
    if out.exists():
        raise ValueError(f"out: {out} exists already; name a new folder")
    checkpoint = Checkpoint.load(best)
    checkpoint.save(out)
    print(f"Written: {out} ({checkpoint.sha256[:12]}, blocks {', '.join(checkpoint.layout.names)})")


if __name__ == "__main__":
    command("python -m trainers.export", ExportConfig, main)
