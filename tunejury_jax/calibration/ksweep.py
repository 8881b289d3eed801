"""How many labels anchors need: methods compared on the same pools, tests and seeds (spec.md section 4)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t as student

from tunejury_jax import metrics
from tunejury_jax.calibration.active import choose
from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.calibration.battles import Battles
from tunejury_jax.calibration.fit import Prior, fit_prior
from tunejury_jax.calibration.increment import k_split
from tunejury_jax.errors import one_of

__all__ = ["METHODS", "PUBLISHED", "Method", "compare", "k_sweep", "universe_of"]

SCALE_L2 = 2.0
"""The scale is 1 give or take 1/2."""


class Method(NamedTuple):
    """A way to make anchors of K labels.

    Attributes:
        scaled: Whether the margins' scale is fitted too.
        hierarchical: Whether the labels themselves say how strongly the offsets are held.
        active: Whether the battles to label are chosen, not taken in the order of the shuffle.
    """

    scaled: bool = False
    hierarchical: bool = False
    active: bool = False

    def fit(self, labelled: Battles, l2: float, pinned: str | None) -> Anchors:
        """Anchors of the labelled battles."""
        prior = self.prior(l2)
        return Anchors.fit(labelled, fit_prior(labelled, prior) if self.hierarchical else prior, pinned)

    def prior(self, l2: float) -> Prior:
        """What it starts from."""
        return Prior(l2, SCALE_L2 if self.scaled else None)


PUBLISHED = "published"
METHODS: dict[str, Method] = {
    PUBLISHED: Method(),
    "scale": Method(scaled=True),
    "hierarchical": Method(hierarchical=True),
    "scale-hierarchical": Method(scaled=True, hierarchical=True),
    "active": Method(active=True),
    "scale-hierarchical-active": Method(scaled=True, hierarchical=True, active=True),
}


def universe_of(battles: Battles, listed: Sequence[str]) -> list[str]:
    """The listed ids that the battles have, in the list's order.

    Raises:
        ValueError: There are fewer than two of them.
    """
    known = set(battles.ids)
    universe = [name for name in listed if name in known]
    if len(universe) < 2:
        raise ValueError(
            f"universe: of {len(listed)} listed ids the battles have {len(universe)}, at least 2 are needed"
        )
    return universe


def k_sweep(
    battles: Battles,
    universe: Sequence[str],
    ks: Sequence[int],
    seeds: int,
    method: str = PUBLISHED,
    l2: float = 1.0,
    pinned: str | None = None,
) -> list[dict[str, Any]]:
    """Fits on the first K labels of each seed's pool, judges on its test.

    Args:
        battles: All scored battles.
        universe: Ids that pools and tests are drawn from, in order.
        ks: How many labels.
        seeds: Seeds 0 to seeds - 1.
        method: One of `METHODS`.
        l2: How strongly offsets are held.
        pinned: System whose offset is 0.

    Returns:
        A row a K: `k`, `correct` and `undecided` of each seed, `n_test`, `mean` and population `std` of the accuracy,
        and `log_loss`, `brier`, `ece` of each seed.

    Raises:
        ValueError: The method is unknown, or a K is negative or larger than the pool.
    """
    how, rows = METHODS[one_of("method", method, tuple(METHODS))], {name: i for i, name in enumerate(battles.ids)}
    splits = [[battles.take([rows[name] for name in part]) for part in k_split(universe, s)] for s in range(seeds)]
    size = len(splits[0][0].ids)
    if bad := [k for k in ks if not 0 <= k <= size]:
        raise ValueError(f"ks: got {bad}, accepted are 0 to {size}, the size of the pool")
    orders = [_order(how, pool, max(ks), l2) for pool, _ in splits]
    return [
        {"k": k, **_row([_judge(how.fit(pool.take(order[:k]), l2, pinned), test) for (pool, test), order in seeded])}
        for k, seeded in ((k, zip(splits, orders, strict=True)) for k in ks)
    ]


def compare(rows: Sequence[Mapping[str, Any]], published: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Differences from the published method, seed by seed: mean and 95 % interval over the seeds (Student's t).

    The seeds draw from one universe, so the interval tells about the draw, not about other battles.
    """
    for ours, theirs in zip(rows, published, strict=True):
        accuracy = (_accuracies(ours) - _accuracies(theirs)).tolist()
        losses = np.subtract(ours["log_loss"], theirs["log_loss"]).tolist()
        yield {"k": ours["k"], "accuracy": _interval(accuracy), "log_loss": _interval(losses)}


def _order(method: Method, pool: Battles, count: int, l2: float) -> Any:
    return choose(pool, count, method.prior(l2)) if method.active else np.arange(count)


def _judge(anchors: Anchors, test: Battles) -> dict[str, Any]:
    margins, targets = anchors.calibrate(test).logit, test.a_won.astype(np.float64)
    accuracy = metrics.accuracy(margins, targets)
    return {
        "correct": accuracy.correct,
        "undecided": accuracy.undecided,
        "log_loss": metrics.log_loss(margins, targets),
        "brier": metrics.brier(margins, targets),
        "ece": metrics.expected_calibration_error(metrics.reliability(margins, targets)),
        "n_test": len(test.ids),
    }


def _row(judged: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {name: [one[name] for one in judged] for name in judged[0]}
    row["n_test"] = judged[0]["n_test"]
    accuracies = _accuracies(row)
    return row | {"mean": float(accuracies.mean()), "std": float(accuracies.std())}


def _accuracies(row: Mapping[str, Any]) -> Any:
    return (np.array(row["correct"]) + np.array(row["undecided"]) / 2) / row["n_test"]


def _interval(differences: Sequence[float]) -> dict[str, float | None]:
    """Mean and interval; of a single seed there is none."""
    values, n = np.array(differences), len(differences)
    half = float(student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else None
    mean = float(values.mean())
    return {"mean": mean, "low": None if half is None else mean - half, "high": None if half is None else mean + half}
