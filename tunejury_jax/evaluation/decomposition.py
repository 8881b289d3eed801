r"""Whether a head's one score, or its features, hold musicality and alignment apart: four stages.

Musicality is taken as $s(a, \varnothing)$, alignment as $s(a, t) - s(a, \varnothing)$. Post hoc: how these go with the
listeners' ratings. Then a network is trained on alignment ratings: on one data set for another (cross-distribution),
on 80 % of all clips for the rest (stratified), and on shares of that 80 % (scaling).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy.special import stdtrit
from scipy.stats import rankdata

from tunejury_jax.csv_columns import codes, numbers, read_columns
from tunejury_jax.evaluation.estimates import estimate_rows
from tunejury_jax.evaluation.regressor import predict_ratings
from tunejury_jax.metrics import spearman

__all__ = ["Clips", "cross_distribution", "partial_spearman", "post_hoc", "read_clips", "scaling", "stratified"]
__all__ += ["stratified_split"]

COLUMNS = ("dataset", "musicality", "alignment", "score", "score_empty")
FRACTIONS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
STRATA, TRAINED = 5, 0.8
LEAST_TRAINED = 10
MAX_FEATURES = 1 << 29

Rows = Float[np.ndarray, " rows"]
Places = Int[np.ndarray, " _"]


@dataclass(frozen=True, eq=False)
class Clips:
    """Rated clips.

    Attributes:
        datasets: Names.
        dataset: Code of each clip's.
        musicality: Listeners' ratings.
        alignment: Likewise.
        score: Under the clip's prompt.
        score_empty: Under none.
        features: One row a clip; None where only scores are known.
    """

    datasets: tuple[str, ...]
    dataset: Int[np.ndarray, " clips"]
    musicality: Float64[np.ndarray, " clips"]
    alignment: Float64[np.ndarray, " clips"]
    score: Float64[np.ndarray, " clips"]
    score_empty: Float64[np.ndarray, " clips"]
    features: Float[np.ndarray, "clips dim"] | None = None


def read_clips(table: Path, features: Path | None = None) -> Clips:
    """Reads clips.

    Args:
        table: CSV with the columns dataset, musicality, alignment, score, score_empty.
        features: A .npy file with a row of features for each row of the table.

    Raises:
        ValueError: As `read_columns` and `numbers`, or the features are too many, not finite or of other rows.
    """
    read = read_columns(table, COLUMNS)
    datasets, (dataset,) = codes(read["dataset"])
    columns = {name: numbers(table, name, read[name]) for name in COLUMNS[1:]}
    return Clips(datasets, dataset, **columns, features=_features(features, len(read)) if features else None)


def post_hoc(clips: Clips) -> dict[str, Any]:
    """By data set: SRCC of the score, the score without prompt and their difference against both ratings."""
    ours = {"score": clips.score, "score_empty": clips.score_empty, "difference": clips.score - clips.score_empty}
    ratings = {"musicality": clips.musicality, "alignment": clips.alignment}
    return {
        name: {
            f"{score} and {rating}": estimate_rows(spearman, x[own], y[own]).to_json()
            for score, x in ours.items()
            for rating, y in ratings.items()
        }
        for name, own in ((name, clips.dataset == code) for code, name in enumerate(clips.datasets))
    }


def cross_distribution(clips: Clips, seed: int = 42) -> dict[str, float | None]:
    """SRCC of alignment on each data set of a network that was trained on another one."""
    found = {}
    for first, second in permutations(range(len(clips.datasets)), 2):
        pool, test = (np.flatnonzero(clips.dataset == code) for code in (first, second))
        predicted = _predicted(clips, clips.alignment, pool, test, seed)
        name = f"{clips.datasets[first]} to {clips.datasets[second]}"
        found[name] = _spearman(predicted, clips.alignment[test])
    return found


def stratified(clips: Clips, seeds: int = 20) -> dict[str, Any]:
    """Trained on 80 % of all clips and judged on the rest, a split a seed.

    Returns:
        `alignment`, the SRCC; `partial`, the same with musicality held fixed; `residual`, that of a network trained on
        what a straight line from musicality leaves of alignment. Each with the `values`, their `mean`, and the
        interval of the mean over the seeds (Student's t), which tells about the splits, not about other clips.
    """
    values = [_one_split(clips, seed) for seed in range(seeds)]
    return {name: _over_seeds([one[name] for one in values]) for name in ("alignment", "partial", "residual")}


def scaling(clips: Clips, seeds: int = 5, fractions: Sequence[float] = FRACTIONS) -> list[dict[str, Any]]:
    """As `stratified`, trained on a share of the 80 %, at least ten clips."""
    rows = []
    for fraction in fractions:
        judged = list(_shared(clips, seeds, fraction))
        names = ("alignment", "partial")
        rows.append(
            {"fraction": fraction, "n_train": judged[0]["n_train"]}
            | {name: _over_seeds([one[name] for one in judged]) for name in names}
        )
    return rows


def stratified_split(values: Rows, share: float, seed: int) -> tuple[Places, Places]:
    """Places of two parts, the first a share of every fifth of the values, at random."""
    strata = np.digitize(values, np.quantile(values, np.arange(1, STRATA) / STRATA))
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(np.flatnonzero(strata == place)) for place in range(STRATA)]
    cuts = [int(share * len(rows)) for rows in shuffled]
    parts = zip(shuffled, cuts, strict=True)
    first, second = zip(*((rows[:cut], rows[cut:]) for rows, cut in parts), strict=True)
    return np.concatenate(first), np.concatenate(second)


def partial_spearman(x: Rows, y: Rows, held: Rows) -> float | None:
    """Spearman's coefficient of x and y with a third list held fixed; None where it is not defined.

    (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2))
    """
    ranks = np.array([rankdata(values) for values in (x, y, held)])
    if (np.ptp(ranks, axis=1) == 0).any():
        return None
    r = np.corrcoef(ranks)
    scale = (1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2)
    return float((r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt(scale)) if scale > 0 else None


def _one_split(clips: Clips, seed: int) -> dict[str, float | None]:
    pool, test = stratified_split(clips.alignment, TRAINED, seed)
    judged = _judged(clips, pool, test, seed)
    slope, start = np.polyfit(clips.musicality[pool], clips.alignment[pool], 1)
    residual = clips.alignment - (start + slope * clips.musicality)
    found = _predicted(clips, residual, pool, test, seed)
    return judged | {"residual": _spearman(found, residual[test])}


def _shared(clips: Clips, seeds: int, fraction: float) -> Iterator[Mapping[str, Any]]:
    for seed in range(seeds):
        pool, test = stratified_split(clips.alignment, TRAINED, seed)
        shuffled = np.random.default_rng(seed).permutation(pool)
        part = shuffled[: max(LEAST_TRAINED, int(fraction * len(pool)))]
        yield _judged(clips, part, test, seed) | {"n_train": len(part)}


def _judged(clips: Clips, pool: Places, test: Places, seed: int) -> dict[str, float | None]:
    found, truth = _predicted(clips, clips.alignment, pool, test, seed), clips.alignment[test]
    return {"alignment": _spearman(found, truth), "partial": partial_spearman(found, truth, clips.musicality[test])}


def _predicted(clips: Clips, target: Rows, pool: Places, test: Places, seed: int) -> Float[np.ndarray, " _"]:
    """Predictions for `test` of a network trained on 80 % of the pool, its epoch chosen on the rest of the pool."""
    x = clips.features
    if x is None:
        raise ValueError("features: expected some, got none; only `post_hoc` needs scores alone")
    if len(pool) < LEAST_TRAINED:
        raise ValueError(f"clips: expected at least {LEAST_TRAINED} to train on, got {len(pool)}")
    train, validation = (pool[part] for part in stratified_split(target[pool], TRAINED, seed))
    return predict_ratings((x[train], target[train]), (x[validation], target[validation]), x[test], seed)


def _spearman(x: Float[np.ndarray, " _"], y: Float[np.ndarray, " _"]) -> float | None:
    return spearman(x, y) if np.ptp(x) > 0 and np.ptp(y) > 0 else None


def _over_seeds(values: Sequence[float | None]) -> dict[str, Any]:
    known = np.array([value for value in values if value is not None], np.float64)
    found: dict[str, Any] = {"values": list(values), "mean": float(known.mean()) if len(known) else None}
    if len(known) < 2:
        return found | {"low": None, "high": None}
    half = float(stdtrit(len(known) - 1, 0.975) * known.std(ddof=1) / np.sqrt(len(known)))
    return found | {"low": found["mean"] - half, "high": found["mean"] + half}


def _features(path: Path, rows: int) -> Float[np.ndarray, "clips dim"]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path}: not a .npy file of numbers: {error}") from error
    if values.ndim != 2 or len(values) != rows or values.dtype.kind != "f" or values.size > MAX_FEATURES:
        raise ValueError(f"{path}: got {values.dtype} of shape {values.shape}, expected floats of shape ({rows}, dim)")
    values = np.array(values, np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: row {np.flatnonzero(~np.isfinite(values).all(1))[0]} is not finite")
    return values
