"""What the provenance of every in-process generator says."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from feature_export.encoders.compute import Compute
from tunejury_jax.applications.generators.recipes import Recipe

__all__ = ["TUNED", "describe"]

TUNED = "tuned_sha256"


def describe(name: str, weights: Mapping[str, str], recipe: Recipe, compute: Compute) -> dict[str, Any]:
    """All that makes the clips of a generator, besides prompts, seeds and duration.

    Args:
        name: Of the backbone.
        weights: What says which weights it has, such as `{"sha256": digest_of(folder)}`; every backbone keeps it as its
            attribute `weights`, and `load_generator` adds `TUNED` for fine-tuned ones.
        recipe: How it samples.
        compute: Of it, the precision.
    """
    return {"generator": name, "weights": dict(weights), "recipe": asdict(recipe), "dtype": compute.dtype}
