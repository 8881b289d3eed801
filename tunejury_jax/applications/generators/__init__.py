"""Backbones that make music from prompts."""

from tunejury_jax.applications.generators.protocol import (
    DifferentiableGenerator,
    Generator,
    TrainableGenerator,
    Waves,
)

__all__ = ["DifferentiableGenerator", "Generator", "TrainableGenerator", "Waves"]
