"""Systems by their mean score, beside what listeners made of them: win rates and Music Arena's rating."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from tunejury_jax.evaluation.correlations import pearson
from tunejury_jax.evaluation.estimates import REDRAWS, Estimate
from tunejury_jax.evaluation.leaderboard import points_matrix, rate
from tunejury_jax.evaluation.votes import Votes
from tunejury_jax.metrics import spearman

__all__ = ["Standing", "rank", "stand"]

DRAWN_ROWS = 20_000_000
MIN_REDRAWS = 100
CORRELATIONS = {"spearman": spearman, "pearson": pearson}


class Standing(NamedTuple):
    """Each system's standing; not a number for one without battles.

    Attributes:
        battles: Against any system.
        win_rate: Share of its points.
        mean_score: Of its clips.
        rating: See `leaderboard`.
    """

    battles: Int[np.ndarray, " systems"]
    win_rate: Float64[np.ndarray, " systems"]
    mean_score: Float64[np.ndarray, " systems"]
    rating: Float64[np.ndarray, " systems"]


def stand(votes: Votes) -> Standing:
    """The standings; a battle of a system with itself counts as two, a win and a defeat."""
    count = len(votes.systems)
    sides = np.concatenate([votes.a, votes.b])
    battles = np.bincount(sides, minlength=count)
    totals = [
        np.bincount(sides, np.concatenate(values), count)
        for values in ((votes.points, 1 - votes.points), (votes.score_a, votes.score_b))
    ]
    with np.errstate(invalid="ignore"):
        win_rate, mean_score = (total / battles for total in totals)
    rating = np.where(battles > 0, rate(points_matrix(votes)), np.nan)
    return Standing(battles, win_rate, mean_score, rating)


def rank(votes: Votes, min_battles: int = 1, seed: int = 0) -> dict[str, Any]:
    """Ranks the systems by mean score and correlates it with their win rates and ratings.

    Intervals are percentiles over redraws of the votes: 1000, fewer for more than 20,000 votes and at least 100. A
    redraw without a system is left out of its interval.

    Args:
        votes: At least one.
        min_battles: Systems with fewer are listed and left out of the correlations.
        seed: Of the redraws.

    Returns:
        `systems`, best mean score first; `win_rate` and `rating`, each with `spearman` and `pearson` of the mean score
        against it (value None for fewer than two systems, or where all are equal); and counts.

    Raises:
        ValueError: There is no vote.
    """
    n = len(votes.points)
    if not n:
        raise ValueError("votes: expected at least one that is not BOTH_BAD")
    generator = np.random.default_rng(seed)
    redraws = min(REDRAWS, max(MIN_REDRAWS, DRAWN_ROWS // n))
    whole = stand(votes)
    drawn = [stand(votes.take(generator.integers(0, n, n))) for _ in range(redraws)]
    kept = whole.battles >= min_battles
    order = np.argsort(-whole.mean_score, kind="stable").tolist()
    systems = [_system(votes.systems[place], place, whole, drawn) for place in order]
    correlations = {against: _correlations(against, kept, whole, drawn) for against in ("win_rate", "rating")}
    counts = {"votes": n, "ties": int((votes.points == 0.5).sum()), "both bad (left out)": votes.both_bad}
    counts["systems left out of correlations"] = int((~kept).sum())
    return {"systems": systems, **correlations, "min_battles": min_battles, "redraws": redraws, "counts": counts}


def _system(name: str, place: int, whole: Standing, drawn: list[Standing]) -> dict[str, Any]:
    battles = int(whole.battles[place])
    found: dict[str, Any] = {"system": name, "battles": battles}
    for field in ("mean_score", "win_rate", "rating"):
        draws = np.array([getattr(standing, field)[place] for standing in drawn])
        found[field] = _estimate(float(getattr(whole, field)[place]), draws, battles).to_json()
    return found


def _correlations(against: str, kept: np.ndarray, whole: Standing, drawn: list[Standing]) -> dict[str, Any]:
    found = {}
    for name in CORRELATIONS:
        value, *draws = (_correlation(name, against, kept, standing) for standing in (whole, *drawn))
        found[name] = _estimate(value, np.array(draws), int(kept.sum())).to_json()
    return found


def _correlation(name: str, against: str, kept: np.ndarray, standing: Standing) -> float:
    kept = kept & (standing.battles > 0)
    x, y = standing.mean_score[kept], getattr(standing, against)[kept]
    defined = len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0
    return CORRELATIONS[name](x, y) if defined else np.nan


def _estimate(value: float, draws: np.ndarray, n: int) -> Estimate:
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not len(draws):
        return Estimate(None if np.isnan(value) else value, None, None, n, None)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value, float(low), float(high), n, "bootstrap")
