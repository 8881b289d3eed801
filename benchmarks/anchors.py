"""Anchors on the published battles: the published K-sweep to the last count, and what the other methods gain.

    python -m benchmarks.anchors --labels ma_postcut_scored.csv --universe MusicArena_v2_increment.json

Both files are published with TuneJury (github.com/yonghyunk1m/TuneJury, in data/labels and data/splits), and so are the
counts of the five seeds (results/ood_repro.json). Nothing is timed: the same files give the same numbers anywhere.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import save
from tunejury_jax.calibration.battles import read_battles
from tunejury_jax.calibration.increment import KS, read_increment
from tunejury_jax.calibration.ksweep import METHODS, PUBLISHED, compare, k_sweep, universe_of
from tunejury_jax.console import command

__all__ = ["AnchorMethods", "main"]

PUBLISHED_CORRECT = {
    0: [171, 159, 172, 164, 158],
    3: [171, 155, 175, 175, 170],
    10: [172, 154, 181, 179, 175],
    30: [174, 167, 187, 163, 171],
    100: [175, 185, 196, 168, 175],
    250: [185, 181, 180, 188, 181],
}
"""Of 299 battles, seeds 0 to 4, nothing pinned."""


@dataclass(frozen=True)
class AnchorMethods:
    """What to measure."""

    labels: Path
    """The published battles with their scores."""
    universe: Path
    """The published increment."""
    seeds: int = 40
    """Draws on which the methods are compared."""

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise ValueError(f"seeds: got {self.seeds}, intervals need at least 2")


def main(config: AnchorMethods) -> None:
    """Measures and writes `benchmarks/results/anchors.json`."""
    battles = read_battles(config.labels)
    universe = universe_of(battles, read_increment(config.universe))
    five = k_sweep(battles, universe, KS, 5)
    equal = {row["k"]: row["correct"] for row in five} == PUBLISHED_CORRECT
    swept = {name: k_sweep(battles, universe, KS, config.seeds, name) for name in METHODS}
    gains = {name: list(compare(rows, swept[PUBLISHED])) for name, rows in swept.items() if name != PUBLISHED}
    document = {
        "battles": len(battles.ids),
        "universe": len(universe),
        "published_counts_reproduced": equal,
        "seeds": config.seeds,
        "methods": {name: [_row(row) for row in rows] for name, rows in swept.items()},
        "gain_over_published": gains,
    }
    path = save("anchors", document)
    print(f"Published counts of 5 seeds, K in {KS}: {'reproduced, all of them' if equal else 'NOT reproduced'}")
    for name, rows in gains.items():
        for row in rows[-2:]:
            points, loss = row["accuracy"], row["log_loss"]
            text = f"{100 * points['mean']:+.2f} points ({100 * points['low']:+.2f} to {100 * points['high']:+.2f})"
            print(f"{name}, K = {row['k']}: {text}, log loss {loss['mean']:+.4f}")
    print(f"Written: {path}")


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """Means over the seeds."""
    means = {name: sum(row[name]) / len(row[name]) for name in ("log_loss", "brier", "ece")}
    return {"k": row["k"], "accuracy": row["mean"], "std": row["std"], **means}


if __name__ == "__main__":
    command("python -m benchmarks.anchors", AnchorMethods, main)
