"""When features are those that a head was trained on.

Two encoders with equal provenance make equal features. A head that was imported from a bare weight file does not say
what made its features: someone has to assume it. Such an assumed provenance holds `"assumed": true` and the little that
was assumed, and only this is compared; everything else is open, so any weights file of the named encoder is accepted.
"""

from collections.abc import Mapping
from typing import Any

from tunejury_jax.blocks import Layout

__all__ = ["assume", "comparable", "is_assumed"]

ASSUMED = "assumed"
WITHOUT_SWITCHES = ("mert",)
"""Upstream's features of these went straight to the encoder's rate."""


def assume(layout: Layout, signal_path: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Provenance, by block, of features of which only the encoders' names and the signal path are assumed.

    Args:
        layout: Blocks of the head.
        signal_path: Switches between a decoded file and an audio encoder; prompts have none, nor has `mert`.
    """
    switched = [block for block in layout.of_table("clip") if block.name not in WITHOUT_SWITCHES]
    paths = {block.name: {"signal_path": dict(signal_path)} for block in switched}
    shared = {ASSUMED: True, "dtype": "float32"}
    return {block.name: {"encoder": block.name, **shared, **paths.get(block.name, {})} for block in layout.blocks}


def is_assumed(provenance: Mapping[str, Any]) -> bool:
    """Whether a provenance was assumed for an imported head."""
    return provenance.get(ASSUMED) is True


def comparable(made: Mapping[str, Any], recorded: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of the provenance of features at hand is to equal a recorded one: all of it, or what was assumed."""
    if not is_assumed(recorded):
        return made
    return {ASSUMED: True, **{field: made[field] for field in recorded if field in made}}
