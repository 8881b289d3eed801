"""python -m trainers.report: draw the report of a run anew."""

from dataclasses import dataclass
from pathlib import Path

from tunejury_jax.console import command

__all__ = ["ReportConfig", "main"]


@dataclass(frozen=True)
class ReportConfig:
    """A report of a training run or a sweep."""

    run: Path
    """Run folder."""


def main(config: ReportConfig) -> None:
    """Writes RUN/report.html from the files of the run alone, and prints where it is."""
    from trainers.reporting.run_page import write_report  # here, so that --help does not wait for Optuna

    print(write_report(config.run))


if __name__ == "__main__":
    command("python -m trainers.report", ReportConfig, main)
