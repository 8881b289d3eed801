"""Honest timing: rivals alternate in one run after a warm-up; every figure has its spread and its machine."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Spread", "alternate", "manifest", "paired_ratio", "save", "spread", "time_rounds"]

ROOT = Path(__file__).parents[1]
PACKAGES = ("tunejury-jax", "jax", "jaxlib", "flax", "optax", "torch", "transformers", "numpy")


class Spread(NamedTuple):
    """Over the rounds: median, quartiles and best of one rival's seconds, or of a ratio."""

    median: float
    low: float
    high: float
    best: float
    rounds: int


def alternate(rivals: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, Spread]:
    """`time_rounds`, summed up."""
    return {name: spread(seconds) for name, seconds in time_rounds(rivals, rounds, warm_up).items()}


def time_rounds(rivals: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, np.ndarray]:
    """Seconds of rivals, timed round by round, so that a noisy minute hits all of them alike.

    Args:
        rivals: Name -> one unit of work, which must have finished when it returns (block until ready).
        rounds: Timed rounds; each runs every rival once, in an order that rotates.
        warm_up: Untimed rounds before.
    """
    names, seconds = list(rivals), {name: [] for name in rivals}
    for number in range(-warm_up, rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            started = time.perf_counter()
            rivals[name]()
            if number >= 0:
                seconds[name].append(time.perf_counter() - started)
    return {name: np.array(values) for name, values in seconds.items()}


def paired_ratio(rival: np.ndarray, ours: np.ndarray) -> dict[str, float]:
    """How many times slower the rival is, round by round: what slows a whole round down cancels."""
    ratio = spread(rival / ours)
    return {"median": ratio.median, "low": ratio.low, "high": ratio.high}


def spread(values: np.ndarray) -> Spread:
    """Sums up the rounds of one rival."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return Spread(float(median), float(low), float(high), float(values.min()), len(values))


def manifest() -> dict[str, Any]:
    """Machine, versions, commit and load: what a figure needs beside it to be believed."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain")),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average_1min": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def save(name: str, document: Mapping[str, Any]) -> Path:
    """Writes `benchmarks/results/NAME.json`, the manifest included."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    path.write_text(json.dumps({**document, "manifest": manifest()}, indent=2) + "\n")
    return path


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
