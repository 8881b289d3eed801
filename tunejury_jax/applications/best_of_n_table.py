"""Best of N in tables: which candidates were selected, and the curve over N."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tunejury_jax.applications.best_of_n import BestOfN

__all__ = ["as_csv", "curve_rows", "flat_rows", "selected_rows"]

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


def flat_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows with a column a number: an estimate `reward` becomes `reward`, `reward_low`, `reward_high`, `reward_n`."""
    for row in rows:
        flat = {}
        for name, value in row.items():
            if isinstance(value, Mapping):
                flat |= {name: value["value"], **{f"{name}_{part}": value[part] for part in ("low", "high", "n")}}
            else:
                flat[name] = value
        yield flat


def as_csv(rows: Iterable[Row]) -> str:
    """Rows as comma-separated values; the columns are those of all rows, and what a row lacks stays empty."""
    rows, text = list(rows), io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
