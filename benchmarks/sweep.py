"""What sweeps cost: a head among many, work that nobody needs, bookkeeping, and the paper's own trainings.

    python -m benchmarks.sweep [--parts members compaction overhead paper]

`members`: seconds and bytes a head, of populations of several sizes with both executors. On a CPU members run one after
another by default; batching them is for accelerators. `compaction`: lanes computed over lanes needed as heads stop one
by one. `overhead`: share of a sweep that is not training. `paper`: the published recipe and the preset `paper`, on an
accelerator only. All parts are written to `sweep.json`; some of them alone, to a file that is named after them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import jax
import tyro

from benchmarks.compaction import Compaction, measure_compaction
from benchmarks.measure import save
from benchmarks.members import Members, measure_members
from benchmarks.overhead import Overhead, measure_overhead
from benchmarks.paper_runs import PaperRuns, paper_on_accelerator
from tunejury_jax.console import command

__all__ = ["Sweep", "main"]

Part = Literal["members", "compaction", "overhead", "paper"]
PARTS: tuple[Part, ...] = ("members", "compaction", "overhead", "paper")


@dataclass(frozen=True)
class Sweep:
    """What to measure."""

    parts: tuple[Part, ...] = PARTS
    """Questions to answer."""
    members: Annotated[Members, tyro.conf.arg(name="")] = field(default_factory=Members)
    compaction: Compaction = field(default_factory=Compaction)
    overhead: Overhead = field(default_factory=Overhead)
    paper: PaperRuns = field(default_factory=PaperRuns)


def main(config: Sweep) -> None:
    """Measures and writes `benchmarks/results/sweep.json`."""
    ask: dict[Part, Callable[[], dict[str, Any]]] = {
        "members": lambda: measure_members(config.members),
        "compaction": lambda: measure_compaction(config.compaction),
        "overhead": lambda: measure_overhead(config.overhead),
        "paper": lambda: paper_on_accelerator(config.paper),
    }
    parts: list[Part] = [part for part in PARTS if part in config.parts]
    document: dict[str, Any] = {"backend": jax.default_backend(), "devices": jax.device_count()}
    for part in parts:
        document |= ask[part]()
    path = save("sweep" if parts == [*PARTS] else "_".join(["sweep", *parts]), document)
    _show(document)
    print(f"Written: {path}")


def _show(document: dict[str, Any]) -> None:
    for executor, rows in document.get("member_epoch_s", {}).items():
        for count, row in rows.items():
            times = f"{row['median']:8.4f} s ({row['low']:.4f} to {row['high']:.4f})"
            print(f"{executor:10s} {count:4d} members: {times} a member-epoch")
    for name in ("compaction_waste", "overhead_share", "paper"):
        if name in document:
            print(f"{name}: {document[name]}")


if __name__ == "__main__":
    command("python -m benchmarks.sweep", Sweep, main)
