"""CMI-RewardBench's headline figures of ours beside the published ones, and the files of a report."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tunejury_jax.documents import write_json, write_whole
from tunejury_jax.evaluation.cmi_report import report, report_lines
from tunejury_jax.evaluation.cmi_results import Results

__all__ = ["PUBLISHED", "Published", "comparison", "write_report"]


class Published(NamedTuple):
    """A published row: SRCC against musicality ratings, and accuracy of preferences."""

    name: str
    pam: float
    musiceval: float
    music_arena: float
    cmi_pref: float


PUBLISHED = (
    Published("SongEval-RM", 0.6977, 0.6949, 0.7388, 0.7240),
    Published("CMI-RM", 0.6606, 0.8266, 0.7343, 0.7820),
    Published("PAM score", 0.6099, 0.6724, 0.6313, 0.6540),
    Published("Audiobox CE", 0.5204, 0.6599, 0.6425, 0.7180),
    Published("MuQ-Eval A1", 0.4995, 0.8089, 0.6761, 0.6600),
    Published("TuneJury, with prompt", 0.6100, 0.6687, 0.7194, 0.7140),
    Published("TuneJury, empty prompt", 0.6731, 0.6618, 0.7007, 0.7240),
)
"""arXiv 2606.17006 and 2603.00610."""

COLUMNS = (("PAM", "srcc"), ("MusicEval", "srcc"), ("Music Arena", "accuracy"), ("CMI-Pref", "accuracy"))
CSV_HEADER = ("dataset", "axis", "group", "value", "metric", "estimate", "low", "high", "n", "interval")


def write_report(results: Results, name: str, folder: Path) -> dict[str, Any]:
    """Writes `metrics.json`, `metrics.csv` and `metrics.md` into a folder; returns the first."""
    folder.mkdir(parents=True, exist_ok=True)
    document = report(results)
    write_json(folder / "metrics.json", document)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(CSV_HEADER)
    rows.writerows((*line[:-1], *line[-1]) for line in report_lines(results))
    write_whole(folder / "metrics.csv", text.getvalue())
    write_whole(folder / "metrics.md", _markdown(comparison(document["summary"], name), results.counts))
    return document


def comparison(summary: Mapping[str, Any], name: str) -> list[tuple[str, ...]]:
    """Rows of text: the header, ours with intervals, the published ones."""
    header = ("scorer", *(f"{dataset} {metric}" for dataset, metric in COLUMNS))
    ours = (name, *(_cell(summary, dataset, metric) for dataset, metric in COLUMNS))
    return [header, ours, *((row.name, *(f"{value:.4f}" for value in row[1:])) for row in PUBLISHED)]


def _cell(summary: Mapping[str, Any], dataset: str, metric: str) -> str:
    found = summary.get(dataset, {}).get("musicality", {}).get(metric)
    if not found or found["value"] is None:
        return "none"
    if found["low"] is None:
        return f"{found['value']:.4f}"
    return f"{found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f})"


def _markdown(table: Sequence[Sequence[str]], counts: Mapping[str, int]) -> str:
    rows = [_line(table[0]), _line(["---"] * len(table[0])), *map(_line, table[1:])]
    notes = [f"- {name}: {count}" for name, count in counts.items()]
    return "\n".join(["# CMI-RewardBench, musicality", "", *rows, "", "Rows:", "", *notes, ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
