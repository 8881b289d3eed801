"""What the evaluation commands print: tables, counts, values with their intervals."""

from pathlib import Path
from typing import Any

__all__ = ["described", "finish", "mean_over_seeds", "p_value", "show", "show_counts", "with_interval"]


def mean_over_seeds(found: dict[str, Any]) -> str:
    return with_interval({"value": found["mean"], "low": found["low"], "high": found["high"]})


def show(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table

    from tunejury_jax.console import make_console

    table = Table(*header, title=title)
    for row in rows:
        table.add_row(*row)
    make_console().print(table)


def show_counts(counts: dict[str, int]) -> None:
    for name, count in counts.items():
        print(f"{name}: {count}")


def with_interval(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "not defined"
    if estimate["low"] is None:
        return f"{estimate['value']:.4f}"
    return f"{estimate['value']:.4f} ({estimate['low']:.4f} to {estimate['high']:.4f})"


def described(row: dict[str, Any]) -> tuple[str, ...]:
    return str(row["n"]), f"{row['mean']:.4f}", "none" if row["std"] is None else f"{row['std']:.4f}"


def p_value(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3g}"


def finish(out: Path | None, document: dict[str, Any]) -> int:
    from tunejury_jax.documents import write_json

    if out:
        write_json(out, document)
        print(f"Written: {out}")
    return 0
