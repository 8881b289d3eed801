"""TuneJury-JAX: pairwise music-preference reward models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunejury_jax.checkpoint import Checkpoint
    from tunejury_jax.scorer import Scorer

__all__ = ["Checkpoint", "Scorer"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: importing JAX takes a second that a command line's --help should not cost.
    if name in __all__:
        return getattr(import_module(f"tunejury_jax.{name.lower()}"), name)
    raise AttributeError(f"module 'tunejury_jax' has no attribute {name!r}")
