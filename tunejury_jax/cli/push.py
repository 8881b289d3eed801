"""`tunejury push`: checkpoints to the Hugging Face hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

__all__ = ["Push"]


@dataclass(frozen=True)
class Push:
    """Publish a checkpoint on the Hugging Face hub, with its model card. Log in first: hf auth login."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Checkpoint folder."""
    name: Annotated[str, tyro.conf.Positional]
    """owner/name of the repository, which is made where there is none."""
    private: bool = False
    """Only you see it."""
    message: str | None = None
    """Of the commit."""

    def run(self) -> int:
        from tunejury_jax.hub import push  # here, so that --help does not wait for JAX

        pushed = push(self.checkpoint, self.name, self.private, self.message)
        print(f"Published: {pushed.url} at commit {pushed.commit}")
        print(f"Load it:   Scorer.from_pretrained({self.name!r}, revision={pushed.commit!r})")
        return 0
