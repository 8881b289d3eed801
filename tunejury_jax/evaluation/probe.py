r"""Whether scores differ between groups of clips, and how they follow a number such as popularity.

Two groups are compared by Welch's t (unequal variances), Mann-Whitney's U and the area under the ROC curve,
$\mathrm{AUC} = P(x > y) + \frac12 P(x = y)$, with DeLong's interval (Biometrics 44, 1988); all groups at once by
one-way analysis of variance. A number is cut at its deciles; equal values stay together, so buckets may differ in size.
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import fdtrc, ndtri, stdtr, stdtrit
from scipy.stats import mannwhitneyu, rankdata

from tunejury_jax.csv_columns import codes, numbers, read_columns
from tunejury_jax.evaluation.estimates import Estimate, estimate_rows
from tunejury_jax.metrics import spearman

__all__ = ["anova", "area", "compare", "probe_groups", "probe_number", "read_grouped", "read_paired", "welch"]

MAX_GROUPS = 50
DECILES = np.arange(1, 10) / 10

First = Float[np.ndarray, " first"]
Second = Float[np.ndarray, " second"]
Rows = Float[np.ndarray, " rows"]


def read_grouped(path: Path, score: str, group: str) -> tuple[tuple[str, ...], Int[np.ndarray, " rows"], Rows]:
    """Names of the groups, each row's group, each row's score, from a CSV table."""
    table = read_columns(path, [score, group])
    names, (places,) = codes(table[group])
    if not 2 <= len(names) <= MAX_GROUPS:
        raise ValueError(f"{path}: column {group}: {len(names)} different values, accepted are 2 to {MAX_GROUPS}")
    return names, places, numbers(path, score, table[score])


def read_paired(path: Path, score: str, number: str) -> tuple[Rows, Rows]:
    """Each row's score and number, from a CSV table."""
    table = read_columns(path, [score, number])
    return numbers(path, score, table[score]), numbers(path, number, table[number])


def probe_groups(names: tuple[str, ...], places: Int[np.ndarray, " rows"], scores: Rows) -> dict[str, Any]:
    """Describes the groups and compares every two of them; groups of one row are described only.

    Args:
        names: Of the groups.
        places: Each row's group.
        scores: Each row's score.
    """
    groups = {name: scores[places == place] for place, name in enumerate(names)}
    compared = {name: values for name, values in groups.items() if len(values) > 1}
    pairs = [{"first": a, "second": b, **compare(compared[a], compared[b])} for a, b in combinations(compared, 2)]
    return {
        "groups": [{"group": name, **_described(values)} for name, values in groups.items()],
        "anova": anova(list(compared.values())) if len(compared) > 1 else None,
        "pairs": pairs,
        "left_out": [name for name in groups if name not in compared],
    }


def probe_number(scores: Rows, values: Rows) -> dict[str, Any]:
    """Spearman's coefficient of scores and values, the scores by decile of the values, and its analysis of variance."""
    buckets = np.searchsorted(np.quantile(values, DECILES), values, side="right")
    groups = [(values[buckets == place], scores[buckets == place]) for place in np.unique(buckets)]
    rows = [{"from": float(own.min()), "to": float(own.max()), **_described(found)} for own, found in groups]
    compared = [found for _, found in groups if len(found) > 1]
    return {
        "srcc": estimate_rows(spearman, scores, values).to_json(),
        "deciles": rows,
        "anova": anova(compared) if len(compared) > 1 else None,
    }


def compare(x: First, y: Second) -> dict[str, Any]:
    """How much larger x is than y; both have at least two values."""
    equal = min(x.min(), y.min()) == max(x.max(), y.max())
    test = (len(x) * len(y) / 2, 1.0) if equal else mannwhitneyu(x, y)
    spread = np.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 2)
    return {
        "welch": welch(x, y),
        "mann_whitney": {"u": float(test[0]), "p": float(test[1])},
        "auc": area(x, y).to_json(),
        "cohens_d": float((x.mean() - y.mean()) / spread) if spread else None,
    }


def welch(x: First, y: Second) -> dict[str, float | None]:
    r"""Welch's test of equal means (Biometrika 34, 1947).

    $t = (\bar x - \bar y) / \sqrt{s_x^2/m + s_y^2/n}$, with Satterthwaite's degrees of freedom.

    Returns:
        `difference` of means with `low` and `high`, `t`, `df` and two-sided `p`; None where neither list varies.
    """
    parts = np.array([x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)])
    difference, error = float(x.mean() - y.mean()), float(np.sqrt(parts.sum()))
    if not error:
        return {"difference": difference, "low": None, "high": None, "t": None, "df": None, "p": None}
    df = float(parts.sum() ** 2 / (parts**2 / [len(x) - 1, len(y) - 1]).sum())
    t, half = difference / error, float(stdtrit(df, 0.975)) * error
    p = 2 * float(stdtr(df, -abs(t)))
    return {"difference": difference, "low": difference - half, "high": difference + half, "t": t, "df": df, "p": p}


def area(x: First, y: Second) -> Estimate:
    """The area under the ROC curve of x against y."""
    ranks = rankdata(np.concatenate([x, y]))
    # Of each value, the share of the other list that it beats, from its rank in both lists less that in its own.
    beats = (ranks[: len(x)] - rankdata(x)) / len(y), 1 - (ranks[len(x) :] - rankdata(y)) / len(x)
    value = float(beats[0].mean())
    half = float(ndtri(0.975) * np.sqrt(sum(shares.var(ddof=1) / len(shares) for shares in beats)))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), len(ranks), "delong")


def anova(groups: list[np.ndarray]) -> dict[str, Any]:
    """One-way analysis of variance of at least two groups: `f`, its degrees of freedom, `p` and `eta2`, the share of
    the variance that the groups explain; None where no group varies."""
    values = np.concatenate(groups)
    within = sum(float(np.square(group - group.mean()).sum()) for group in groups)
    between = sum(len(group) * float((group.mean() - values.mean()) ** 2) for group in groups)
    df = len(groups) - 1, len(values) - len(groups)
    if not within:
        return {"f": None, "df_between": df[0], "df_within": df[1], "p": None, "eta2": None}
    f = (between / df[0]) / (within / df[1])
    share = between / (between + within)
    return {"f": f, "df_between": df[0], "df_within": df[1], "p": float(fdtrc(*df, f)), "eta2": share}


def _described(values: Rows) -> dict[str, Any]:
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return {"n": len(values), "mean": float(values.mean()), "std": std, "median": float(np.median(values))}
