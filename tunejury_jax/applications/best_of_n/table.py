"""Best of N in tables: which candidates were selected, and the curve over N."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunejury_jax.applications.best_of_n.selection import BestOfN

__all__ = ["curve_rows", "selected_rows"]

Row = dict[str, Any]


def selected_rows(found: BestOfN) -> Iterator[Row]:
    """A row a prompt and N: the candidate, or why there is none."""
    for number, prompt in enumerate(found.prompts):
        for size, best in found.selected(number):
            row = {"prompt_id": prompt.id, "n": size}
            if best is None:
                yield {**row, "error": "no candidate with a reward"}
            else:
                flags = ";".join(best.flags)
                own = {"candidate": best.candidate.number, "reward": best.reward, "flags": flags}
                yield {**row, **own, "path": str(best.candidate.path)}


def curve_rows(found: BestOfN, metrics: Mapping[str, Sequence[Row]]) -> list[Row]:
    """A row an N.

    Args:
        found: At least one prompt is complete.
        metrics: By name, an estimate for each N.
    """
    estimates = zip(found.selection.sizes, found.selection.mean_rewards(), strict=True)
    return [
        {"n": size, "reward": reward.to_json(), **{name: values[place] for name, values in metrics.items()}}
        for place, (size, reward) in enumerate(estimates)
    ]
