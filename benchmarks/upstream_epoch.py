"""Whole training epochs, validation included, at paper width: ours against a loop built as the published one is.

    python -m benchmarks.upstream_epoch

The published loop reads a file a pair through a DataLoader. Where its time goes is shown by two more rivals: its
loader without any computation, and its computation on data that is resident in memory. The torch loops run in one
child process, ours in this one; the two take turns, and who waits is idle. Only a quiet machine gives a fair figure:
torch's threads spin while they wait for each other, so that foreign load slows torch many times more than us.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import numpy as np
import torch

from benchmarks.measure import ROOT, Spread, paired_ratio, save, spread, time_rounds
from benchmarks.ours import our_epochs
from benchmarks.synthetic import COUNTS, PaperSize, paper_size
from benchmarks.upstream_loop import BATCH, LOADER, RESIDENT, UPSTREAM, write_pair
from trainers.recipe import TrainConfig
from trainers.view import Pairs
from tunejury_jax.console import command

__all__ = ["UpstreamEpoch", "main"]

VALID_SHARE = 8
FILE_STATE = "in the page cache: read once or more before the first timed round"


@dataclass(frozen=True)
class UpstreamEpoch:
    """How much to measure."""

    rounds: int = 7
    """Timed rounds; each runs one epoch of every rival."""
    pairs: int = 3200
    """Pairs to train on; an eighth as many are validated on."""
    workers: int = 4
    """Processes of the published loop's loader."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.workers < 0:
            raise ValueError(f"expected rounds >= 1 and workers >= 0, got {self.rounds} and {self.workers}")
        if not BATCH <= self.pairs <= COUNTS["train"] or self.pairs % BATCH == 1:
            raise ValueError(
                f"pairs: got {self.pairs}, accepted are {BATCH} to {COUNTS['train']}, less a last batch of one pair"
            )

    @property
    def valid_pairs(self) -> int:
        return min(self.pairs // VALID_SHARE, COUNTS["valid"])


def main(config: UpstreamEpoch) -> None:
    """Measures and writes `benchmarks/results/upstream_epoch.json`."""
    data = paper_size()
    pairs = Pairs(data.pairs.train[: config.pairs], data.pairs.valid[: config.valid_pairs])
    total = config.pairs + config.valid_pairs
    with TemporaryDirectory() as folder:
        file_bytes = _write_files(Path(folder), data, pairs)
        print(f"{total} pair files, {file_bytes / 1e6:.0f} MB, in {folder} until the end")
        with _torch_loop(Path(folder), config.workers) as run_torch:
            rivals: dict[str, Callable[[], object]] = {
                "ours": our_epochs(data.arrays, pairs, TrainConfig(batch_size=BATCH))
            }
            rivals |= {name: partial(run_torch, name) for name in (UPSTREAM, LOADER, RESIDENT)}
            seconds = time_rounds(rivals, config.rounds)
    rows = {name: _row(spread(values), total) for name, values in seconds.items()}
    path = save("upstream_epoch", _document(config, file_bytes, rows, seconds))
    for name, row in rows.items():
        times = f"{row['median']:7.3f} s ({row['low']:.3f} to {row['high']:.3f}), best {row['best']:.3f}"
        print(f"{name:24s} {times}, {row['pairs_per_s']:6.0f} pairs/s")
    print(f"{_ratios(seconds)}\nWritten: {path}")


def _document(
    config: UpstreamEpoch, file_bytes: int, rows: dict[str, dict[str, float]], seconds: dict[str, np.ndarray]
) -> dict[str, Any]:
    return {
        "unit": "s an epoch: training on every train pair, then validation",
        "rounds": config.rounds,
        "train_pairs": config.pairs,
        "valid_pairs": config.valid_pairs,
        "batch_size": BATCH,
        "loader_workers": config.workers,
        "torch_threads": torch.get_num_threads(),
        "files": {"bytes": file_bytes, "state": FILE_STATE},
        "epochs": rows,
        **_ratios(seconds),
    }


def _row(times: Spread, pairs: int) -> dict[str, float]:
    seconds = {name: value for name, value in times._asdict().items() if name != "rounds"}
    return seconds | {"pairs_per_s": pairs / times.median}


def _ratios(seconds: dict[str, np.ndarray]) -> dict[str, float]:
    """Round by round: median and quartiles."""
    upstream = paired_ratio(seconds[UPSTREAM], seconds["ours"])
    return {
        "ratio_vs_upstream_epoch": upstream["median"],
        "ratio_vs_upstream_epoch_low": upstream["low"],
        "ratio_vs_upstream_epoch_high": upstream["high"],
        "ratio_vs_torch_resident": paired_ratio(seconds[RESIDENT], seconds["ours"])["median"],
    }


def _write_files(folder: Path, data: PaperSize, pairs: Pairs) -> int:
    """Writes `train` and `valid`, a file a pair; returns their bytes."""
    clip, (prompt,), index, target = jax.tree.map(lambda array: torch.from_numpy(np.array(array)), data.arrays)
    for split, rows in pairs._asdict().items():
        (folder / split).mkdir()
        for number, row in enumerate(np.asarray(rows)):
            a, b, text = index[row].tolist()
            side_a, side_b = ([block[side] for block in clip] for side in (a, b))
            write_pair(folder / split / f"{number:06d}.pt", side_a, side_b, prompt[text], target[row].item())
    return sum(path.stat().st_size for path in folder.rglob("*.pt"))


@contextmanager
def _torch_loop(folder: Path, workers: int) -> Iterator[Callable[[str], None]]:
    """Starts the child and gives a function that has it run an epoch of a rival; the child ends with its input."""
    module = [sys.executable, "-m", "benchmarks.upstream_loop"]
    arguments = ["--folder", str(folder), "--workers", str(workers)]
    pipe = subprocess.PIPE
    with subprocess.Popen([*module, *arguments], cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as child:
        requests, answers = child.stdin, child.stdout
        assert requests is not None
        assert answers is not None

        def run(rival: str) -> None:
            print(rival, file=requests, flush=True)
            if not answers.readline():
                raise ChildProcessError("the torch loop ended early; its own message is above")

        yield run


if __name__ == "__main__":
    command("python -m benchmarks.upstream_epoch", UpstreamEpoch, main)
