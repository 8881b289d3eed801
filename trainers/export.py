"""python -m trainers.export: copy a run's best head, or an ensemble of its heads, out in one of several forms."""

from pathlib import Path

from trainers.config import ExportConfig
from tunejury_jax.console import command

__all__ = ["main"]


def main(config: ExportConfig) -> None:
    """Loads heads of the run, which checks every array of them, and writes them to a folder of their own."""
    # These here, so that --help does not wait for JAX.
    from trainers.exporting import FORMATS
    from trainers.run_folder import RunFolder
    from trainers.selection import select
    from tunejury_jax.checkpoint import Checkpoint
    from tunejury_jax.ensemble import ensemble

    folder, out = RunFolder(Path(config.run)), Path(config.out)
    if not folder.best.exists():
        raise ValueError(f"run: {config.run} has no best/ yet; a run folder gets one after its first batch of heads")
    if out.exists():
        raise ValueError(f"out: {out} exists already; name a new folder")
    if chosen := select(config, folder):
        print("\n".join(chosen.lines()))
        checkpoint = ensemble([head.checkpoint for head in chosen.heads])
    else:
        checkpoint = Checkpoint.load(folder.best)
    FORMATS[config.format](checkpoint, out)
    members = f", {checkpoint.members} members" if checkpoint.members > 1 else ""
    print(f"Written: {out} ({checkpoint.sha256[:12]}, blocks {', '.join(checkpoint.layout.names)}{members})")


if __name__ == "__main__":
    command("python -m trainers.export", ExportConfig, main)
