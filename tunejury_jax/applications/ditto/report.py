"""What came of a DITTO run: numbers, table, curves, and a page to listen to every clip before and after."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tunejury_jax.applications.ditto.folder import DittoFolder, Outcome
from tunejury_jax.applications.listening_page import Player, Section, write_page
from tunejury_jax.applications.row_tables import as_csv
from tunejury_jax.documents import write_json, write_whole
from tunejury_jax.evaluation.estimates import estimate_mean, estimate_share
from tunejury_jax.figures.canvas import BLUE

__all__ = ["AGREEMENT", "draw_curves", "summarise", "write_report"]

AGREEMENT = 1e-4
"""By how much the reward of a written clip may differ from the one that was optimised."""

PALE = "#A9CCE3"
FIGURES = ("before", "after", "gain")


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The means over prompts without an error, with 95 % intervals by bootstrap over prompts; JSON.

    The gain's is paired: a prompt is redrawn with both its rewards. `improved` is a share with Wilson's interval.
    """
    failed = {each.prompt_id: each.error for each in outcomes if each.error}
    told = {"n": len(outcomes) - len(failed), "failed": failed}
    if not told["n"]:
        return told
    done = [each for each in outcomes if not each.error]
    rewards = {name: np.array([getattr(each, name) for each in done], np.float64) for name in FIGURES}
    told |= {name: estimate_mean(values).to_json() for name, values in rewards.items()}
    told["improved"] = estimate_share((rewards["gain"] > 0).astype(np.float64)).to_json()
    told["disagreeing"] = {each.prompt_id: each.deviation for each in done if (each.deviation or 0) > AGREEMENT}
    return told


def draw_curves(outcomes: Sequence[Outcome]) -> Figure:
    """The reward of every iterate: a pale line a prompt, its best ringed, and the mean of those with all iterates."""
    figure = Figure(figsize=(7, 4.5), layout="constrained", facecolor="white")
    axes, curves = figure.subplots(), [each for each in outcomes if each.rewards]
    longest = max((len(each.rewards) for each in curves), default=0)
    for each in curves:
        axes.plot(each.rewards, color=PALE, linewidth=0.8)
        axes.plot(each.best, each.rewards[each.best], "o", color=PALE, markerfacecolor="none", markersize=4)
    if whole := [each.rewards for each in curves if len(each.rewards) == longest]:
        axes.plot(np.mean(whole, axis=0), "o-", color=BLUE, label=f"mean of {len(whole)} prompts")
        axes.legend(frameon=False)
    axes.set(xlabel="iterate", ylabel="reward", xticks=range(longest))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def write_report(outcomes: Sequence[Outcome], folder: DittoFolder, summary: Mapping[str, Any]) -> None:
    """Writes `summary.json`, `results.csv`, `curves.csv`, `curves.png` and `listening.html`."""
    write_json(folder.path / "summary.json", summary)
    write_whole(folder.path / "results.csv", as_csv(map(_result, outcomes)))
    write_whole(folder.path / "curves.csv", as_csv(_iterates(outcomes)))
    curves = folder.path / "curves.png"
    draw_curves(outcomes).savefig(curves, dpi=150)
    sections = [Section("Rewards", picture=curves), *(_section(each, folder) for each in outcomes)]
    write_page(folder.page, "Before and after noise optimisation", sections)


def _result(outcome: Outcome) -> dict[str, Any]:
    names = ("prompt_id", "prompt", "seed", *FIGURES, "best", "deviation", "error")
    return {name: getattr(outcome, name) for name in names}


def _iterates(outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    for each in outcomes:
        for number, (reward, norm) in enumerate(zip(each.rewards, each.norms, strict=True)):
            yield {"prompt_id": each.prompt_id, "iterate": number, "reward": reward, "norm": norm}


def _section(outcome: Outcome, folder: DittoFolder) -> Section:
    title = f"{outcome.prompt_id}: {outcome.prompt}"
    if outcome.error:
        return Section(title, f"Failed: {outcome.error}")
    before = Player(f"{outcome.before:+.3f}", f"before, seed {outcome.seed}", folder.clip("before", outcome.prompt_id))
    after = Player(f"{outcome.after:+.3f}", f"after, iterate {outcome.best}", folder.clip("after", outcome.prompt_id))
    return Section(title, f"Gain {outcome.gain:+.3f}", (before, after))
