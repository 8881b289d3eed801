"""`tunejury evaluate mos | systems | probe | decomposition`: statistics of tables of scores."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunejury_jax.calibration.columns import Columns
from tunejury_jax.evaluation.printing import (
    described,
    finish,
    mean_over_seeds,
    p_value,
    show,
    show_counts,
    with_interval,
)

__all__ = ["EvaluateDecomposition", "EvaluateMos", "EvaluateProbe", "EvaluateSystems"]


@dataclass(frozen=True)
class EvaluateMos:
    """Scores against listeners' ratings: SRCC, LCC, Kendall's tau-b and the accuracy over all pairs of clips."""

    table: Path
    """Table (csv) of clips, scores and ratings."""
    out: Path | None = None
    """Write the numbers here, as JSON."""
    clip: str = "clip"
    """Column of the clip's id, each once."""
    score: str = "score"
    """Column of the score."""
    rating: str = "rating"
    """Column of the rating; pairs of equal ratings are left out, equal scores count 1/2."""

    def run(self) -> int:
        from tunejury_jax.evaluation.mos import judge, read_rated

        document = judge(read_rated(self.table, self.clip, self.score, self.rating))
        rows = [(name, with_interval(document[name])) for name in ("srcc", "lcc", "ktau", "pairwise_accuracy")]
        show(f"{document['clips']} clips", ("statistic", "value (95 % interval)"), rows)
        show_counts({f"pairs, {name}": count for name, count in document["pairs"].items()})
        return finish(self.out, document)


@dataclass(frozen=True)
class EvaluateSystems:
    """Systems by mean score, against their win rates and ratings as Music Arena's leaderboard computes them."""

    table: Path
    """Table (csv) of battles with preferences and scores."""
    out: Path | None = None
    """Write the numbers here, as JSON."""
    min_battles: int = 1
    """Leave systems with fewer battles out of the correlations."""
    columns: Columns = field(default_factory=Columns)

    def run(self) -> int:
        from tunejury_jax.evaluation.systems import rank
        from tunejury_jax.evaluation.votes import read_votes

        document = rank(read_votes(self.table, self.columns), self.min_battles)
        fields = ("mean_score", "win_rate", "rating")
        rows = [
            (row["system"], str(row["battles"]), *(with_interval(row[name]) for name in fields))
            for row in document["systems"]
        ]
        show("Systems", ("system", "battles", "mean score", "win rate", "rating"), rows)
        correlations = [
            (against, *(with_interval(document[against][name]) for name in ("spearman", "pearson")))
            for against in ("win_rate", "rating")
        ]
        show("Mean score against", ("", "Spearman", "Pearson"), correlations)
        show_counts(document["counts"])
        return finish(self.out, document)


@dataclass(frozen=True)
class EvaluateProbe:
    """Whether scores differ between groups of clips, or follow a number such as popularity."""

    table: Path
    """Table (csv) of clips with scores."""
    score: str = "score"
    """Column of the score."""
    group: str | None = None
    """Column of groups to compare: Welch's t, Mann-Whitney's U, AUC, analysis of variance."""
    number: str | None = None
    """Column of a number to cut at its deciles instead."""
    out: Path | None = None
    """Write the numbers here, as JSON."""

    def run(self) -> int:
        from tunejury_jax.evaluation.probe import probe_groups, probe_number, read_grouped, read_paired

        if (self.group is None) == (self.number is None):
            raise ValueError(f"group, number: expected one of them, got {self.group!r} and {self.number!r}")
        if self.number is not None:
            document = probe_number(*read_paired(self.table, self.score, self.number))
            self._show_deciles(document)
        else:
            document = probe_groups(*read_grouped(self.table, self.score, str(self.group)))
            self._show_groups(document)
        return finish(self.out, document)

    def _show_deciles(self, document: dict[str, Any]) -> None:
        rows = [(f"{row['from']:g} to {row['to']:g}", *described(row)) for row in document["deciles"]]
        show(f"SRCC {with_interval(document['srcc'])}", (str(self.number), "clips", "mean", "std"), rows)

    def _show_groups(self, document: dict[str, Any]) -> None:
        rows = [(row["group"], *described(row)) for row in document["groups"]]
        show("Groups", (str(self.group), "clips", "mean", "std"), rows)
        pairs = [
            (
                f"{row['first']} - {row['second']}",
                with_interval({"value": row["welch"]["difference"], **row["welch"]}),
                *(p_value(row[test]["p"]) for test in ("welch", "mann_whitney")),
                with_interval(row["auc"]),
            )
            for row in document["pairs"]
        ]
        show("Differences", ("groups", "of means", "Welch p", "Mann-Whitney p", "AUC"), pairs)
        if document["left_out"]:
            print(f"Groups of one clip, not compared: {', '.join(document['left_out'])}")


@dataclass(frozen=True)
class EvaluateDecomposition:
    """Whether a head's score, or its features, hold musicality and alignment apart."""

    table: Path
    """Table (csv) of clips: dataset, musicality, alignment (ratings), score, score_empty (with and without prompt)."""
    out: Path
    """Write the numbers here, as JSON."""
    features: Path | None = None
    """Features (.npy), a row for each of the table's; without them only the scores are looked at."""
    seeds: int = 20
    """Splits of the stratified stage."""
    scaling_seeds: int = 5
    """Splits of each step of the scaling stage."""

    def run(self) -> int:
        from tunejury_jax.evaluation import decomposition

        clips = decomposition.read_clips(self.table, self.features)
        document: dict[str, Any] = {"post_hoc": decomposition.post_hoc(clips)}
        if clips.features is not None:
            document["cross_distribution"] = decomposition.cross_distribution(clips)
            document["stratified"] = decomposition.stratified(clips, self.seeds)
            document["scaling"] = decomposition.scaling(clips, self.scaling_seeds)
        rows = [
            (d, pair, with_interval(found))
            for d, pairs in document["post_hoc"].items()
            for pair, found in pairs.items()
        ]
        show("Post hoc, SRCC", ("data set", "of", "value (95 % interval)"), rows)
        if "stratified" in document:
            trained = [(name, mean_over_seeds(found)) for name, found in document["stratified"].items()]
            show(f"Trained on 80 %, SRCC of the rest, {self.seeds} splits", ("", "mean (95 % interval)"), trained)
        return finish(self.out, document)
