"""The files of a best-of-N run: tables, curves, pictures and the page to listen to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunejury_jax.applications.best_of_n import over_optimisation_plot, plot
from tunejury_jax.applications.best_of_n.over_optimisation import OverOptimisation
from tunejury_jax.applications.best_of_n.page import page_sections
from tunejury_jax.applications.best_of_n.selection import BestOfN
from tunejury_jax.applications.best_of_n.table import curve_rows, selected_rows
from tunejury_jax.applications.listening_page import write_page
from tunejury_jax.applications.row_tables import as_csv, flat_rows
from tunejury_jax.applications.side_metrics import SideMetrics
from tunejury_jax.documents import write_json, write_whole
from tunejury_jax.figures.canvas import png

__all__ = ["write_over_optimisation", "write_report"]

PICTURES = {"curve.png": "Over N", "over_optimisation.png": "Over-optimisation"}


def write_report(found: BestOfN, out: Path, metrics: SideMetrics, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Writes `selected.csv`, `curve.csv`, `.json` and `.png`, and `listening.html` with what pictures there are.

    Args:
        found: What was selected.
        out: The folder.
        metrics: Of the selected clips.
        facts: What else the curve's document says: what generated, what scored.

    Returns:
        The rows of the curve.
    """
    write_whole(out / "selected.csv", as_csv(selected_rows(found)))
    rows = curve_rows(found, metrics.by_name)
    counts = {
        "prompts": len(found.prompts),
        "prompts_left_out": [prompt.id for prompt in found.left_out],
        "candidates": len(found.scored),
        "candidates_failed": len(found.failed),
    }
    measured = {"embeddings": metrics.embeddings, "not_computed": metrics.not_computed}
    document = {"rows": rows, **measured, "reference_failed": metrics.reference_failed, **counts, **facts}
    _write_json(out / "curve.json", document)
    write_whole(out / "curve.csv", as_csv(flat_rows(rows)))
    write_whole(out / "curve.png", png(plot.draw(document)))
    pictures = [(title, out / name) for name, title in PICTURES.items() if (out / name).exists()]
    write_page(out / "listening.html", "Best of N", page_sections(found, pictures))
    return rows


def write_over_optimisation(report: OverOptimisation, out: Path, facts: Mapping[str, Any]) -> None:
    """Writes `over_optimisation.json`, `.csv` and `.png` into a folder."""
    document = {**report.to_json(), **facts}
    _write_json(out / "over_optimisation.json", document)
    write_whole(out / "over_optimisation.csv", as_csv(flat_rows(document["rows"])))
    write_whole(out / "over_optimisation.png", png(over_optimisation_plot.draw(document)))


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    write_json(path, document)
