"""What one head costs among K that train together: time of an epoch of it, and memory.

On a CPU members run one after another by default (`Sequential`), and `Stacked` is here to show that batching gains
nothing there; on an accelerator `Stacked` is the default.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from benchmarks.measure import Spread, alternate
from benchmarks.ours import whole_view
from benchmarks.synthetic import COUNTS, PaperSize, paper_size
from trainers.executors import Executor, MakeExecutor, Program, Sequential, Stacked, for_backend
from trainers.memory import available_bytes, member_bytes
from trainers.population import Hyper, init_member
from trainers.recipe import TrainConfig
from trainers.view import Pairs
from tunejury_jax.head_config import PAPER_WIDTHS, HeadConfig

__all__ = ["EXECUTORS", "Members", "measure_members"]

EXECUTORS: dict[str, MakeExecutor] = {"sequential": Sequential, "stacked": Stacked}
BATCH, VALID_SHARE = 32, 8
CPU_PAIRS = 320
MANY = 32
"""Members whose throughput is compared with that of one."""
NOTE = (
    "seconds of an epoch of all members, divided by their number; compilation left out. The executors take turns where "
    "there is room for two populations. On a CPU members run one after another by default (sequential); on an "
    "accelerator the default is stacked"
)


@dataclass(frozen=True)
class Members:
    """Which populations to time."""

    counts: tuple[int, ...] = (1, 8, 32, 64, 256)
    """Members of each population, rising; one that does not fit into memory is left out."""
    pairs: int | None = None
    """Pairs to train on; an eighth as many are validated on. Default: 320, and on an accelerator all."""
    rounds: int = 3
    """Timed epochs of each population."""
    widths: tuple[int, ...] = PAPER_WIDTHS
    """Hidden layers."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or not self.counts or min(self.counts) < 1 or sorted({*self.counts}) != [*self.counts]:
            raise ValueError(f"expected rounds >= 1 and rising counts, got {self.rounds} and {self.counts}")
        if self.pairs is not None and not BATCH <= self.pairs <= COUNTS["train"]:
            raise ValueError(f"pairs: got {self.pairs}, accepted are {BATCH} to {COUNTS['train']}")


def measure_members(config: Members) -> dict[str, Any]:
    """Times every population with both executors."""
    data = paper_size()
    program = Program(data.arrays, _pairs(config, data), config.widths, BATCH)
    need = member_bytes(HeadConfig(sum(_dims(program)), config.widths), BATCH)
    fit = max(0, available_bytes()) // need
    measured = [count for count in config.counts if count <= fit]
    peaks = {count: _peak_bytes(program, count) for count in measured}
    spreads = {count: _time(program, count, config.rounds, together=2 * count <= fit) for count in measured}
    return {
        "member_epoch_s": {name: {k: _share(s[name], k) for k, s in spreads.items()} for name in EXECUTORS},
        "members": {
            "meaning": NOTE,
            "default_executor": for_backend().__name__.lower(),  # type: ignore[attr-defined]
            "train_pairs": len(program.pairs.train),
            "valid_pairs": len(program.pairs.valid),
            "batch_size": BATCH,
            "rounds": config.rounds,
            "left_out": {k: f"needs {k * need} bytes, {fit * need} are free" for k in config.counts if k > fit},
            "throughput_ratio_of_32_to_1": _throughput_ratio(spreads),
        },
        "member_bytes": {
            "reckoned": need,
            "peak_measured": {k: peak / k if peak else "not reported by this backend" for k, peak in peaks.items()},
        },
    }


def _pairs(config: Members, data: PaperSize) -> Pairs:
    train = config.pairs or (CPU_PAIRS if jax.default_backend() == "cpu" else COUNTS["train"])
    valid = COUNTS["valid"] if train == COUNTS["train"] else train // VALID_SHARE
    return Pairs(data.pairs.train[:train], data.pairs.valid[:valid])


def _dims(program: Program) -> list[int]:
    return [block.shape[1] for block in (*program.arrays.clip, *program.arrays.prompt)]


def _start(make: MakeExecutor, program: Program, count: int) -> Executor:
    """A population whose members differ in their seeds."""
    view = whole_view(program.arrays, program.pairs)
    hypers = {number: Hyper.of(TrainConfig(widths=program.widths, seed=number), view) for number in range(count)}
    dims = _dims(program)
    members = {number: init_member(program.widths, dims, hyper) for number, hyper in hypers.items()}
    return make(members, hypers, program)


def _time(program: Program, count: int, rounds: int, *, together: bool) -> dict[str, Spread]:
    """Both executors in turn where there is room for two populations, one after the other where there is not."""
    groups: Sequence[Sequence[str]] = [[*EXECUTORS]] if together else [[name] for name in EXECUTORS]
    found: dict[str, Spread] = {}
    for names in groups:
        rivals: Mapping[str, Callable[[], object]] = {
            name: partial(_epoch, _start(EXECUTORS[name], program, count)) for name in names
        }
        found |= alternate(rivals, rounds)
    return found


def _epoch(executor: Executor) -> None:
    executor.run()  # its metrics come to the host, so it has finished


def _peak_bytes(program: Program, count: int) -> int | None:
    """Of stacked members, on the first device; a peak is never forgotten, so populations must rise in size."""
    stats = jax.local_devices()[0].memory_stats()
    if not stats or "peak_bytes_in_use" not in stats:
        return None
    before = stats["bytes_in_use"]
    _start(Stacked, program, count).run()
    return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"] - before


def _share(spread: Spread, members: int) -> dict[str, float]:
    """Seconds a member."""
    return {name: value / members for name, value in spread._asdict().items() if name != "rounds"}


def _throughput_ratio(spreads: Mapping[int, Mapping[str, Spread]]) -> dict[str, float] | None:
    """Epochs of heads a second, of 32 members over one member."""
    if not {1, MANY} <= spreads.keys():
        return None
    return {name: MANY * spreads[1][name].median / spreads[MANY][name].median for name in EXECUTORS}
