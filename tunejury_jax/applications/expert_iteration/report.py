"""What came of expert iteration: rewards of held-out clips, what they cost, the frontier, a page to listen."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tunejury_jax.applications.candidates import Scored
from tunejury_jax.applications.expert_iteration.rounds import Judged
from tunejury_jax.applications.listening_page import Player, Section, write_page
from tunejury_jax.applications.row_tables import as_csv, flat_rows
from tunejury_jax.documents import write_json, write_whole
from tunejury_jax.evaluation.estimates import estimate_mean, estimate_share
from tunejury_jax.figures.canvas import COLOURS, finish, new_figure, save

__all__ = ["compared_clips", "draw", "summarise", "write_report"]

Metrics = Mapping[str, Sequence[Mapping[str, Any]]]
"""Side metric -> its estimate, as JSON, for the published weights and for each branch after each round."""

LABELS = {
    "mad": "MAD (lower is nearer the reference)",
    "fad": "FAD (lower is nearer the reference)",
    "clap_score": "CLAP score (higher fits the prompt better)",
    "mpcd": "MPCD (higher is more varied)",
}


def compared_clips(judged: Sequence[Judged]) -> list[list[Path]]:
    """What side metrics are taken from: the clips of those prompts whose clips all have a reward."""
    compared = [clips for clips in zip(*(each.clips for each in judged), strict=True) if all(map(_has_reward, clips))]
    return [[clips[place].candidate.path for clips in compared] for place in range(len(judged))]


def summarise(judged: Sequence[Judged], metrics: Metrics) -> list[dict[str, Any]]:
    """A row for the published weights and for each branch after each round.

    Args:
        judged: The published weights first.
        metrics: Of the same, in the same order.

    Returns:
        Rows of `branch`, `round`, `clips`, `failed`, the mean `reward`, and against the published weights, prompt by
        prompt, the mean `gain` and the share `improved`; then the side metrics, and their changes against those of the
        published weights. Intervals are over prompts.
    """
    return [_row(each, judged[0]) | _costs(place, metrics) for place, each in enumerate(judged)]


def _costs(place: int, metrics: Metrics) -> dict[str, Any]:
    found: dict[str, Any] = {name: values[place] for name, values in metrics.items()}
    if place:
        found |= {f"{name}_change": values[place]["value"] - values[0]["value"] for name, values in metrics.items()}
    return found


def _has_reward(clip: Scored) -> bool:
    return clip.reward is not None


def _row(each: Judged, before: Judged) -> dict[str, Any]:
    rewards = [clip.reward for clip in each.clips if clip.reward is not None]
    pairs = zip(each.clips, before.clips, strict=True)
    gains = np.array([a.reward - b.reward for a, b in pairs if a.reward is not None and b.reward is not None])
    row: dict[str, Any] = {"branch": each.branch, "round": each.round, "clips": len(each.clips)}
    row |= {"failed": len(each.clips) - len(rewards)}
    row["reward"] = estimate_mean(np.array(rewards))._asdict() if rewards else None
    if each.round and len(gains):
        row["gain"] = estimate_mean(gains)._asdict()
        row["improved"] = estimate_share((gains > 0).astype(np.float64))._asdict()
    return row


def draw(document: Mapping[str, Any]) -> Figure:
    """The frontier: mean reward against each side metric, a line a branch from the published weights on."""
    rows = [row for row in document["rows"] if row["reward"]]
    names = [name for name in LABELS if any(name in row for row in rows)]
    figure = new_figure(3.8, width_in=max(5.0, 3.6 * len(names)))
    panels = np.atleast_1d(figure.subplots(1, max(1, len(names))))
    if not names:
        _rounds(panels[0], rows)
    for axes, name in zip(panels, names, strict=False):
        _frontier(axes, rows, name, labelled=axes is panels[0])
    panels[0].set_ylabel("mean reward of held-out clips")
    return finish(figure, *panels, legend=any(row["round"] for row in rows))


def write_report(
    judged: Sequence[Judged], metrics: Metrics, out: Path, facts: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Writes `rounds.json`, `rounds.csv`, `frontier.png` and `.pdf`, and `listening.html`; returns the rows.

    Args:
        judged: The published weights first.
        metrics: See `summarise`.
        out: The folder.
        facts: What else the document says.
    """
    rows = summarise(judged, metrics)
    document = {"rows": rows, **facts}
    write_json(out / "rounds.json", document)
    write_whole(out / "rounds.csv", as_csv(flat_rows(rows)))
    picture = save(draw(document), out / "frontier")[0]
    sections = [Section("Reward and what it costs", picture=picture), *_sections(judged)]
    write_page(out / "listening.html", "Before and after expert iteration", sections)
    return rows


def _sections(judged: Sequence[Judged]) -> Iterator[Section]:
    """A prompt each: the clip of the published weights, then what became of it."""
    for clips in zip(*(each.clips for each in judged), strict=True):
        players = []
        for each, clip in zip(judged, clips, strict=True):
            note = each.branch if not each.round else f"{each.branch}, round {each.round}"
            title = "failed" if clip.reward is None else f"{clip.reward:+.3f}"
            players.append(Player(title, note, clip.candidate.path if clip.error is None else None))
        prompt = clips[0].candidate.prompt
        yield Section(f"{prompt.id}: {prompt.text}", players=players)


def _branches(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Each branch with the published weights before it."""
    published = [row for row in rows if not row["round"]]
    names = dict.fromkeys(row["branch"] for row in rows if row["round"])
    yield from ((name, [*published, *(row for row in rows if row["branch"] == name)]) for name in names)


def _frontier(axes: Axes, rows: Sequence[Mapping[str, Any]], name: str, labelled: bool) -> None:
    for number, (branch, own) in enumerate(_branches(rows)):
        colour = COLOURS[number % len(COLOURS)]
        x, y = [row[name]["value"] for row in own], [row["reward"]["value"] for row in own]
        axes.plot(x, y, "o-", color=colour, markersize=4, label=branch if labelled else None)
        for row in own:
            _bar(axes, row, name, colour)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(LABELS[name])


def _bar(axes: Axes, row: Mapping[str, Any], name: str, colour: str) -> None:
    reward, cost = row["reward"], row[name]
    if reward["low"] is not None:
        axes.plot([cost["value"]] * 2, [reward["low"], reward["high"]], color=colour, linewidth=0.8)
    if cost["low"] is not None:
        axes.plot([cost["low"], cost["high"]], [reward["value"]] * 2, color=colour, linewidth=0.8)


def _rounds(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Without side metrics there is no frontier: the rewards over the rounds."""
    for number, (branch, own) in enumerate(_branches(rows)):
        colour = COLOURS[number % len(COLOURS)]
        values = [row["reward"] for row in own]
        axes.plot([row["round"] for row in own], [each["value"] for each in values], "o-", color=colour, label=branch)
        for row, each in zip(own, values, strict=True):
            if each["low"] is not None:
                axes.plot([row["round"]] * 2, [each["low"], each["high"]], color=colour, linewidth=0.8)
    axes.set_xticks(sorted({row["round"] for row in rows}))
    axes.set_xlabel("round")
