"""Ensembles of heads with random arrays, as a run would leave their members."""

from typing import Any

from random_heads import random_checkpoint

from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.ensemble import ensemble

__all__ = ["random_ensemble", "random_members"]

SHARED = {"data": {"zero_prompt_sources": ["Alpha"]}, "store": {"sha256": "abc"}}


def random_members(count: int, **facts: Any) -> list[Checkpoint]:
    """Heads of one shape with seeds 0, 1, ..., and offsets far apart; see `random_checkpoint` for the facts."""
    return [
        random_checkpoint(
            seed=seed,
            training={**SHARED, "config": {"seed": seed}},
            metrics={"valid_loss": 0.5 + seed / 8, "valid_score_mean": 3.0 * seed * seed - 1.7},
            **facts,
        )
        for seed in range(count)
    ]


def random_ensemble(count: int, **facts: Any) -> Checkpoint:
    """An ensemble of `random_members`."""
    return ensemble(random_members(count, **facts))
