"""One page that tells how a run went, RUN/report.html.

The page is made from the run folder's files alone, and the same files give the same page. A file that is not there
yet is said to be missing; one that cannot be read stops the report.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainers.reporting import head_sections, held_out_sections, search_sections
from trainers.reporting.html_page import facts, grid, missing, page, section
from trainers.reporting.run_reader import Run, Trial, best_of, read_run

__all__ = ["write_report"]


def write_report(run: Path) -> Path:
    """Writes the report of a run folder and returns its path, RUN/report.html.

    Args:
        run: Folder with any of config.json, trials.jsonl, epochs.jsonl, test/metrics.json, test/predictions.csv,
            tables.json and heads.jsonl.

    Raises:
        ValueError: The folder holds none of these, or one cannot be read: names the file, the line and the field.
    """
    found = read_run(run)
    best = best_of(found.trials or [])
    sections = [
        _headline(found, best),
        *head_sections.tables(found.tables),
        *head_sections.seeds(found.heads),
        search_sections.leaderboard(found.trials),
        search_sections.curves(found.epochs, best),
        held_out_sections.sources(found.test),
        held_out_sections.calibration(found.test),
        held_out_sections.margins(found.predictions),
        search_sections.parameters(found.trials),
        *search_sections.parallel(found.trials, best),
        search_sections.importance(found.trials),
        _config(found.config),
    ]
    path = run / "report.html"
    path.write_text(page(f"Run {run.resolve().name}", sections), encoding="utf-8", errors="replace")
    return path


def _headline(run: Run, best: Trial | None) -> str:
    cards = held_out_sections.facts_of(run.test) if run.test else []
    if best:
        cards.append((f"trial {best.trial}", f"best, with a validation loss of {best.valid_loss:.4f} nats per pair"))
    states = Counter(trial.state for trial in run.trials or [])
    if states:
        cards.append((f"{states.total()} trials", ", ".join(f"{n} {state}" for state, n in states.items())))
    absent = [] if run.test else [missing("test/metrics.json", "held-out accuracy, chance and baselines")]
    return section("Result", facts(cards), *absent)


def _config(config: dict[str, Any] | None) -> str:
    if config is None:
        return section("Configuration", missing("config.json", "configuration"))
    return section("Configuration", grid(["setting", "value"], list(_flat(config))))


def _flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
