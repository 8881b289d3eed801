"""Encoding music end to end, from files to features on disk: ours against a loop built as the published one is.

    python -m benchmarks.export --audio MUSIC

Two sets of pairs over the same clips: one in which each clip occurs once, and one that repeats clips as AIME does,
15,600 pairs over 6,500 clips. Both rivals use the same networks, of the published sizes with random weights, in
float32 unless told otherwise, with all cores. Loading the weights is not timed; starting the workers is, but for the
fork server, which the warm-up starts. A rate counts the sides of pairs, so an encoded clip counts as often as it is
used.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import soundfile
import torch

from benchmarks.measure import Spread, alternate, save
from benchmarks.random_weights import placed_weights
from benchmarks.stopwatch import Stopwatch
from benchmarks.upstream_export import extract
from feature_export.audio import SignalPath, load
from feature_export.encoders import Compute, Stack, load_stack
from feature_export.export import Encoding, Limits, plan
from tunejury_jax.console import command
from tunejury_jax.pairs import Pair, Span
from tunejury_jax.store import seal_store

__all__ = ["Export", "main"]

AIME_PAIRS, AIME_CLIPS = 15_600, 6_500
FORMATS = (".wav", ".flac", ".ogg", ".mp3")


@dataclass(frozen=True, kw_only=True)
class Export:
    """What to measure."""

    audio: Path
    """Folder of music: wav, flac, ogg, mp3."""
    encoders: tuple[str, ...] = ("clap", "mert")
    """Families with a network: clap, mert."""
    clips: int = 8
    """Clips, cut from the music one after the other."""
    seconds: float = 10.0
    """Of a clip."""
    rounds: int = 3
    """Timed rounds; each runs both rivals on both sets of pairs."""
    workers: int = 1
    """Processes of ours that decode ahead."""
    batch_seconds: float | None = None
    """Of ours: audio that a network hears at once, by default 20 on a CPU and 60 on a GPU."""
    device: str = "cpu"
    """Of both rivals."""
    autocast: bool = False
    """Ours in bfloat16; the published loop stays in float32."""
    tiny: bool = False
    """Tiny networks, for a trial: the ratios mean nothing."""

    def __post_init__(self) -> None:
        if self.clips < 2 or self.clips % 2 or self.rounds < 1:
            raise ValueError(f"expected an even number of clips and rounds >= 1, got {self.clips} and {self.rounds}")


@dataclass(frozen=True)
class _Bench:
    """Both rivals, with their networks loaded."""

    config: Export
    ours: Stack
    upstream: Stack
    folder: Path
    busy: dict[str, list[float]]

    def run_ours(self, name: str, pairs: Sequence[Pair]) -> None:
        out = self._empty()
        limits = Limits(self.config.workers, batch_s=self.config.batch_seconds)
        places = {type(encoder).__name__: (type(encoder), "embed_windows") for encoder in self.ours.audio}
        places |= {type(encoder).__name__: (type(encoder), "embed") for encoder in self.ours.text}
        watch, started = Stopwatch(), perf_counter()
        with watch.watching(places):
            store = plan(pairs, self.ours, str(out))
            done = Encoding(store, self.ours, self.config.audio, limits=limits).run()
            seal_store(store)
        if done.failed:
            raise ValueError(f"audio: {done.failed} of {done.rows} rows failed; take other music")
        inside = sum(sum(seconds) for seconds in watch.calls.values())
        self.busy.setdefault(name, []).append(inside / (perf_counter() - started))

    def run_upstream(self, pairs: Sequence[Pair]) -> None:
        extract(pairs, self.upstream, self.config.audio, self._empty())

    def _empty(self) -> Path:
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        return out


def main(config: Export) -> None:
    """Measures and writes `benchmarks/results/export.json`, or `export_autocast.json`; `_tiny` for tiny networks."""
    spans = _spans(config)
    sets = {"distinct": _pairs(spans, config.clips // 2), "repeated": _pairs(spans, _repeated(config.clips))}
    with TemporaryDirectory() as folder, placed_weights(config.tiny):
        ours, upstream = _stack(config, config.autocast), _stack(config, False)
        bench = _Bench(config, ours, upstream, Path(folder), {})
        rivals: dict[str, Callable[[], object]] = {}
        for name, pairs in sets.items():
            rivals[f"ours, {name}"] = lambda name=name, pairs=pairs: bench.run_ours(name, pairs)
            rivals[f"upstream, {name}"] = lambda pairs=pairs: bench.run_upstream(pairs)
        spreads = alternate(rivals, config.rounds)
        apart = _apart(bench, spans)
    sides = {name: 2 * len(pairs) for name, pairs in sets.items()}
    document = {**_document(config, sides, spreads, bench.busy), "relative_difference": apart}
    path = save("export" + "_autocast" * config.autocast + "_tiny" * config.tiny, document)
    for rival, row in document["runs"].items():
        times = f"{row['median']:8.2f} s ({row['low']:.2f} to {row['high']:.2f})"
        print(f"{rival:20s} {times}, {row['clips_per_s']:.3f} clips/s")
    print(f"{document['ratios']}, encoder busy {document['encoder_busy']}, apart {apart}\nWritten: {path}")


def _document(
    config: Export, sides: dict[str, int], spreads: dict[str, Spread], busy: dict[str, list[float]]
) -> dict[str, Any]:
    runs = {
        rival: {**spread._asdict(), "clips_per_s": sides[rival.split(", ")[1]] / spread.median}
        for rival, spread in spreads.items()
    }
    settings = {name: value for name, value in vars(config).items() if name != "audio"}
    return {
        "unit": "s for all pairs of a set, from files to features on disk",
        **settings,
        "sides": sides,
        "torch_threads": torch.get_num_threads(),
        "runs": runs,
        "ratios": {name: spreads[f"upstream, {name}"].median / spreads[f"ours, {name}"].median for name in sides},
        "ratios_low": {name: spreads[f"upstream, {name}"].low / spreads[f"ours, {name}"].high for name in sides},
        "encoder_busy": {name: min(shares[-config.rounds :]) for name, shares in busy.items()},
    }


def _apart(bench: _Bench, spans: Sequence[tuple[str, Span]]) -> dict[str, float]:
    """|ours - float32| / |float32| of the clip where it is largest, for each network."""
    found: dict[str, float] = {}
    for name, span in spans:
        decoded = load(bench.config.audio / name, span)
        with torch.no_grad():
            ours, upstream = (
                stack.embed_samples(decoded.samples, decoded.sample_rate_hz) for stack in (bench.ours, bench.upstream)
            )
        for block, features in ours.items():
            expected = upstream[block].double()
            apart = ((features.double() - expected).norm() / expected.norm()).item()
            found[block] = max(apart, found.get(block, 0.0))
    return found


def _spans(config: Export) -> list[tuple[str, Span]]:
    """Clips of the wanted length, file by file."""
    files = sorted(path for path in config.audio.rglob("*") if path.suffix in FORMATS)
    found = [
        (str(path.relative_to(config.audio)), (number * config.seconds, (number + 1) * config.seconds))
        for path in files
        for number in range(int(soundfile.info(path).duration // config.seconds))
    ]
    if len(found) < config.clips:
        raise ValueError(
            f"audio: {config.audio} has {len(found)} clips of {config.seconds:g} s, {config.clips} are asked for"
        )
    step = len(found) // config.clips  # from all over the music
    return found[::step][: config.clips]


def _pairs(spans: Sequence[tuple[str, Span]], count: int) -> list[Pair]:
    """So many pairs over all the clips, each of which occurs equally often, give or take one."""
    turn = [spans[place % len(spans)] for place in range(2 * count)]
    return [
        Pair(
            id=f"{number:05}",
            source="Music",
            audio_a=a,
            audio_b=b,
            span_a=span_a,
            span_b=span_b,
            label="a",
            prompt=f"calm piano music, number {number % 8}",
            split="train",
        )
        for number, ((a, span_a), (b, span_b)) in enumerate(zip(turn[::2], turn[1::2], strict=True))
    ]


def _repeated(clips: int) -> int:
    return round(clips * AIME_PAIRS / AIME_CLIPS)


def _stack(config: Export, autocast: bool) -> Stack:
    return load_stack(config.encoders, SignalPath(), Compute(config.device, autocast))


if __name__ == "__main__":
    command("python -m benchmarks.export", Export, main)
