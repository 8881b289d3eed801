"""Scoring files with heads of the published sizes: ours against one file at a time, as upstream scores.

    python -m benchmarks.scoring

The rival is `benchmarks.upstream_scoring`. Both use the same networks, with random weights of the published sizes, in
float32, and their scores are compared. Four tasks over the same files:

* `one head`: each file once, with its prompt;
* `both prompts`: each file with its prompt and without, as CMI-RewardBench is run; ours hears each file once;
* `repeated`: each file under four prompts; ours hears a file once among 64 rows;
* `heads`: several heads, one after the other; ours have an embedding cache, empty at the start of each round.

Loading weights is not timed.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import soundfile
import torch

from benchmarks.measure import Spread, alternate, save
from benchmarks.random_weights import placed_weights
from benchmarks.upstream_scoring import UpstreamScorer
from feature_export.audio import SignalPath
from feature_export.encoders import Compute, load_stack
from feature_export.export import Limits
from tests.torch_twin import Twin
from tunejury_jax.blocks import Layout
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.console import command
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.score_files import PROTOCOLS, AudioFile, score_files
from tunejury_jax.scorer import Scorer
from tunejury_jax.state_dict import from_state_dict

__all__ = ["Scoring", "main"]

FILE_RATE_HZ = 44_100
WIDTHS = (1024, 512, 256, 128)
PROMPTS = tuple(f"calm piano music, number {number}" for number in range(4))
SUFFIXES = (".wav", ".flac", ".mp3")
TOLERANCE = 1e-3
"""Largest difference of two scores that is rounding: those of a head with random weights are of size 1 and more."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What to measure."""

    encoders: tuple[str, ...] = ("clap", "mert")
    """Families with a network: clap, mert."""
    tasks: tuple[Literal["one head", "both prompts", "repeated", "heads"], ...] = (
        "one head",
        "both prompts",
        "repeated",
        "heads",
    )
    """Which to measure."""
    files: int = 12
    """How many, each with other noise in stereo at 44.1 kHz; wav, flac and mp3 in turn."""
    seconds: float = 10.0
    """Of a file, at most 10."""
    heads: int = 4
    """Of the task with several."""
    rounds: int = 3
    """Timed rounds; each runs both rivals on all tasks."""
    workers: int = 0
    """Processes of ours that decode ahead, each started in every round; they help where a GPU waits for them."""
    batch_seconds: float | None = None
    """Of ours: audio that a network hears at once, by default 20 on a CPU and 60 on a GPU."""
    device: str = "cpu"
    """Of both rivals."""
    tiny: bool = False
    """Tiny networks: overhead shows, and the ratios mean nothing for real ones."""

    def __post_init__(self) -> None:
        if min(self.files, self.heads, self.rounds) < 1:
            raise ValueError(f"expected files, heads and rounds >= 1, got {self.files}, {self.heads}, {self.rounds}")
        if not 0 < self.seconds <= 10:
            raise ValueError(f"seconds: got {self.seconds}, expected more than 0 and at most 10")


@dataclass(frozen=True)
class _Rivals:
    """Both rivals, with their networks and heads loaded; each method scores everything and returns the scores."""

    config: Scoring
    published: Sequence[UpstreamScorer]
    scorers: Sequence[Scorer]
    files: Sequence[AudioFile]
    folder: Path

    def ours(self, files: Sequence[AudioFile], protocol: str = "with", heads: int = 1) -> list[float]:
        cache = self.folder / "cache" if heads > 1 else None
        shutil.rmtree(self.folder / "cache", ignore_errors=True)
        scores: list[float] = []
        for scorer in self.scorers[:heads]:
            limits = Limits(self.config.workers, batch_s=self.config.batch_seconds)
            encoder = scorer.clip_encoder(limits, cache)
            for row in score_files(scorer, files, protocols=PROTOCOLS[protocol], encoder=encoder):
                if row.reward is None:
                    raise ValueError(f"{row.path}: {row.error}")
                scores.append(row.reward)
        return scores

    def upstream(self, files: Sequence[AudioFile], protocol: str = "with", heads: int = 1) -> list[float]:
        prompts = [(file, file.prompt if own == "with" else "") for file in files for own in PROTOCOLS[protocol]]
        return [scorer.score(file.path, text or "") for scorer in self.published[:heads] for file, text in prompts]


def main(config: Scoring) -> None:
    """Measures and writes `benchmarks/results/scoring.json`, or `scoring_tiny.json`."""
    with TemporaryDirectory() as folder, placed_weights(config.tiny):
        rivals = _rivals(config, Path(folder))
        tasks = _tasks(rivals)
        largest = {name: _largest_difference(rivals, *task) for name, task in tasks.items()}
        runs = {**_runs("ours", rivals.ours, tasks), **_runs("upstream", rivals.upstream, tasks)}
        spreads = alternate(runs, config.rounds, warm_up=0)
    document = _document(config, {name: len(files) for name, (files, _, _) in tasks.items()}, spreads, largest)
    path = save("scoring_tiny" if config.tiny else "scoring", document)
    for task, row in document["tasks"].items():
        ours, upstream = row["ours"], row["upstream"]
        times = f"ours {ours['median']:7.2f} s ({ours['low']:.2f} to {ours['high']:.2f})"
        times += f", upstream {upstream['median']:7.2f} s ({upstream['low']:.2f} to {upstream['high']:.2f})"
        print(f"{task:13s} {times}, {row['ratio']:.2f} times, scores within {row['largest_difference']:.1g}")
    print(f"Written: {path}")


Task = tuple[Sequence[AudioFile], str, int]


def _tasks(rivals: _Rivals) -> dict[str, Task]:
    """Name -> files, prompt protocol, and how many heads."""
    files = rivals.files
    repeated = [AudioFile(file.id, file.path, prompt) for prompt in PROMPTS for file in files]
    tasks: dict[str, Task] = {
        "one head": (files, "with", 1),
        "both prompts": (files, "both", 1),
        "repeated": (repeated, "with", 1),
        "heads": (files, "with", rivals.config.heads),
    }
    return {name: tasks[name] for name in rivals.config.tasks}


def _runs(name: str, run: Callable[..., object], tasks: dict[str, Task]) -> dict[str, Callable[[], object]]:
    return {f"{name}, {title}": lambda task=task: run(*task) for title, task in tasks.items()}


def _largest_difference(rivals: _Rivals, *task: Any) -> float:
    """Of the scores of both rivals; also the warm-up that starts worker processes and compiles."""
    largest = float(np.abs(np.subtract(rivals.ours(*task), rivals.upstream(*task))).max())
    if not largest <= TOLERANCE:
        raise ValueError(f"the rivals' scores differ by {largest}, at most {TOLERANCE} is rounding")
    return largest


def _document(
    config: Scoring, files: dict[str, int], spreads: dict[str, Spread], largest: dict[str, float]
) -> dict[str, Any]:
    tasks = {}
    for task, count in files.items():
        ours, upstream = spreads[f"ours, {task}"], spreads[f"upstream, {task}"]
        tasks[task] = {
            "files": count,
            "ours": ours._asdict(),
            "upstream": upstream._asdict(),
            "ratio": upstream.median / ours.median,
            "ratio_low": upstream.low / ours.high,
            "largest_difference": largest[task],
        }
    threads = torch.get_num_threads()
    return {"unit": "s for all files of a task", **vars(config), "torch_threads": threads, "tasks": tasks}


def _rivals(config: Scoring, folder: Path) -> _Rivals:
    stack = load_stack(config.encoders, SignalPath(), Compute(config.device))
    twins = [_twin(stack.layout, seed) for seed in range(config.heads)]
    encoders = {name: stack.provenance()[name] for name in stack.layout.names}
    scorers = [Scorer(_checkpoint(twin, stack.layout, encoders), stack) for twin in twins]
    published = [UpstreamScorer(stack, twin) for twin in twins]
    return _Rivals(config, published, scorers, _files(config, folder / "music"), folder)


def _twin(layout: Layout, seed: int) -> Twin:
    torch.manual_seed(seed)
    return Twin(layout.dim, WIDTHS).unsettle(seed).eval()


def _checkpoint(twin: Twin, layout: Layout, encoders: dict[str, Any]) -> Checkpoint:
    head = HeadConfig(layout.dim, WIDTHS)
    return Checkpoint(head, layout, encoders, from_state_dict(twin.arrays(), head))


def _files(config: Scoring, folder: Path) -> list[AudioFile]:
    folder.mkdir()
    files = []
    for number in range(config.files):
        rng = np.random.default_rng(number)
        samples = 0.1 * rng.standard_normal((round(config.seconds * FILE_RATE_HZ), 2))
        path = folder / f"{number:05}{SUFFIXES[number % len(SUFFIXES)]}"
        soundfile.write(path, samples, FILE_RATE_HZ)
        files.append(AudioFile(path.name, path, PROMPTS[number % len(PROMPTS)]))
    return files


if __name__ == "__main__":
    command("python -m benchmarks.scoring", Scoring, main)
