"""`tunejury encoders`: which there are, and their weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tunejury_jax.extras import import_extra

__all__ = ["Encoders"]


@dataclass(frozen=True)
class ListEncoders:
    """List the encoders: licence, size, and whether the weights are there."""

    def run(self) -> int:
        import_extra("feature_export.weights.commands", "encoders").show_encoders()
        return 0


@dataclass(frozen=True)
class FetchEncoder:
    """Fetch the weights of an encoder, or check those that are there; an interrupted download continues."""

    name: Annotated[Literal["clap", "mert", "muq"], tyro.conf.Positional]
    """Whose weights."""
    source: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Take the files from this folder instead of the Hugging Face hub: a hub cache, a clone, or our own layout."""
    accept: str | None = None
    """Accept a non-commercial licence in words, where nobody can be asked: "I accept LICENCE for WEIGHTS"."""

    def run(self) -> int:
        import_extra("feature_export.weights.commands", "encoders").fetch_encoder(self.name, self.source, self.accept)
        return 0


@dataclass(frozen=True)
class Encoders:
    """List the encoders, or fetch their weights."""

    action: (
        Annotated[ListEncoders, tyro.conf.subcommand("list")] | Annotated[FetchEncoder, tyro.conf.subcommand("fetch")]
    ) = ListEncoders()

    def run(self) -> int:
        return self.action.run()
