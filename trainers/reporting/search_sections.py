"""The parts of a report about the trials: who was best, how they learned, which hyper-parameters mattered."""

from collections import Counter
from collections.abc import Sequence

from trainers.reporting import plots
from trainers.reporting.html_page import grid, missing, paragraph, picture, section
from trainers.reporting.importance import LEAST_TRIALS, importances
from trainers.reporting.parallel_plot import parallel_coordinates
from trainers.reporting.run_reader import Epoch, Trial
from trainers.reporting.search_plots import hyper_parameters, importance_chart, varied
from trainers.reporting.wording import count, short

__all__ = ["curves", "importance", "leaderboard", "parallel", "parameters"]

TOP = 20


def leaderboard(trials: Sequence[Trial] | None) -> str:
    """The best trials, and what became of those that are not ranked."""
    if not trials:
        return section("Leaderboard", missing("trials.jsonl", "leaderboard"))
    ranked = sorted((t for t in trials if t.ranked), key=lambda t: (t.valid_loss, t.trial))[:TOP]
    names = list(dict.fromkeys(name for trial in ranked for name in trial.params))
    header = ["#", "trial", "validation loss (nats)", "validation accuracy", "best epoch", "epochs", "time (s)", *names]
    rows = []
    for rank, t in enumerate(ranked, start=1):
        measured = (t.valid_accuracy, t.best_epoch, t.epochs, t.seconds, *(t.params.get(name) for name in names))
        rows.append([rank, t.trial, f"{t.valid_loss:.4f}", *map(short, measured)])
    first = paragraph(f"{len(ranked)} of {len(trials)} trials, least validation loss first.")
    return section("Leaderboard", first, grid(header, rows), *_pruned(trials), *_lost(trials))


def curves(epochs: Sequence[Epoch] | None, best: Trial | None) -> str:
    """Loss over epochs."""
    if not epochs:
        return section("Learning curves", missing("epochs.jsonl", "learning curves"))
    alt = f"Line chart: loss over epochs of {len({epoch.trial for epoch in epochs})} trials"
    alt += f"; trial {best.trial} is best, with a validation loss of {best.valid_loss:.4f}." if best else "."
    note = "Solid: validation; dashed: training, of the best trial only. A dot ends the curve of another trial."
    return section("Learning curves", picture(plots.learning_curves(epochs, best), alt), paragraph(note))


def parameters(trials: Sequence[Trial] | None) -> str:
    """Validation loss against each hyper-parameter."""
    title = "Hyper-parameters"
    if not trials:
        return section(title, missing("trials.jsonl", "trials to compare"))
    names, ranked = varied(trials), sum(trial.ranked for trial in trials)
    note = f"{ranked} trials with a result, {len(trials) - ranked} without are not drawn. "
    if not names:
        return section(title, paragraph(note + "No hyper-parameter varied among them, so there is nothing to compare."))
    alt = f"Scatter charts of validation loss against {', '.join(names)}."
    note += "The star is the best trial. A hyper-parameter that did not vary has no panel."
    return section(title, picture(hyper_parameters(trials), alt), paragraph(note))


def parallel(trials: Sequence[Trial] | None, best: Trial | None) -> list[str]:
    """Each trial as one line through all its hyper-parameters; nothing where nothing varied."""
    if not best or not (names := varied(trials or [])):
        return []
    settings = ", ".join(f"{name} {short(best.params.get(name))}" for name in names)
    alt = f"Parallel coordinates of {', '.join(names)} and validation loss. Best is trial {best.trial}: {settings}, "
    alt += f"validation loss {best.valid_loss:.4f}."
    note = "A line is a trial, read from its hyper-parameters down to its validation loss. Within a category the lines "
    note += "lie side by side, less loss further left."
    return [section("All hyper-parameters together", picture(parallel_coordinates(trials or []), alt), paragraph(note))]


def importance(trials: Sequence[Trial] | None) -> str:
    """Which hyper-parameters decided, or why that cannot be said."""
    title, ranked = "Importance of hyper-parameters", [trial for trial in trials or [] if trial.ranked]
    if len(ranked) < LEAST_TRIALS:
        few = f"{count(len(ranked), 'trial')} with a result: too few, at least {LEAST_TRIALS} are needed."
        return section(title, paragraph(few))
    found = importances(ranked, varied(ranked))
    if not found:
        return section(title, paragraph("No hyper-parameter that every trial has varied, so none can matter."))
    alt = "Bar chart of importance: " + ", ".join(f"{name} {i.value:.0%}" for name, i in found.items()) + "."
    note = f"PED-ANOVA over {len(ranked)} trials: how differently a hyper-parameter is distributed among the better "
    note += "half and among all, as shares of 100%. The line holds 95% of the shares when the trials are redrawn. The "
    note += "hatched bar holds 95% of the shares when the losses are shuffled: what does not exceed it may not matter."
    header = ["hyper-parameter", "importance", "95% of redraws", "by chance alone", "exceeds chance"]
    rows = [[n, f"{i.value:.1%}", f"{i.low:.1%} to {i.high:.1%}", f"up to {i.chance:.1%}"] for n, i in found.items()]
    verdicts = ["yes" if i.value > i.chance else "no" for i in found.values()]
    table = grid(header, [[*row, verdict] for row, verdict in zip(rows, verdicts, strict=True)])
    return section(title, picture(importance_chart(found), alt), paragraph(note), table)


def _pruned(trials: Sequence[Trial]) -> list[str]:
    pruned = Counter(trial.epochs for trial in trials if trial.state == "pruned")
    if not pruned:
        return []
    when = ", ".join(f"{n} after epoch {short(epochs)}" for epochs, n in sorted(pruned.items(), key=_epoch_of))
    why = "stopped by successive halving, which trains only the better half of a population on, and not ranked"
    return [paragraph(f"{count(pruned.total(), 'trial')} pruned, that is {why}: {when}.")]


def _epoch_of(item: tuple[int | None, int]) -> int:
    return item[0] or 0


def _lost(trials: Sequence[Trial]) -> list[str]:
    lost = [trial for trial in trials if trial.state not in ("running", "pruned") and not trial.ranked]
    if not lost:
        return []
    errors = [[t.trial, t.state, (t.error or "no finite validation loss")[:300]] for t in lost[:TOP]]
    return [paragraph(f"{len(lost)} ended without a result."), grid(["trial", "state", "error"], errors)]
