"""`tunejury generators`: which there are, and their weights."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from tunejury_jax.extras import import_extra

__all__ = ["Generators"]


@dataclass(frozen=True)
class Generators:
    """List the generators of music: licence, sample rate, recipes, and whether their weights are there."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = None
    """All that is known of this one, and how to get its weights."""

    def run(self) -> int:
        listing = import_extra("tunejury_jax.applications.generators.listing", "listing generators")
        if self.name is None:
            listing.show_generators()
        else:
            listing.show_generator(self.name)
        return 0
