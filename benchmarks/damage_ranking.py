"""Does a head that heard damaged music rank music it never heard above its damaged versions?

    python -m benchmarks.damage_ranking --train DIR --held-out DIR --out DIR

Recordings are cut into windows, each window is damaged by the ladders of the demo data set, and a head is swept on
pairs of them through the ordinary commands: export, sweep, score. Reported, for each kind of damage, is how many
held-out windows score higher clean than at the worst rung, with a Wilson interval. Windows of one recording are not
independent, so the interval is somewhat too narrow. With --held-out the same folder as --train the result says that
the pipeline learns, not that it generalises.
"""

import itertools
import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float

from feature_export.audio import SignalPath, load, prepare
from feature_export.decode import ACCEPTED
from feature_export.demo.damage import LADDERS, RUNGS, Kind, damage
from tunejury_jax.console import command
from tunejury_jax.metrics import wilson
from tunejury_jax.pairs import Pair, Split, write_pairs

__all__ = ["DamageRanking", "main"]

SAMPLE_RATE_HZ = 24_000
SILENT = 1e-3
WIDTHS = "256-128-64-32"

Window = Float[np.ndarray, " samples"]


@dataclass(frozen=True)
class DamageRanking:
    """A head trained on damaged music, judged on held-out music."""

    train: Path
    """Folder of recordings to train on; every third window is for validation."""
    held_out: Path
    """Folder of recordings to judge on."""
    out: Path
    """Folder for audio, store, run and result.json."""
    window_s: float = 5.0
    """Length of a window."""
    windows: int = 3
    """Windows of each recording, spread evenly over it."""
    trials: int = 8
    """Heads of the sweep."""
    max_epochs: int = 60
    """Epochs a head gets at most."""

    def __post_init__(self) -> None:
        if not self.window_s > 0 or self.windows < 3:
            raise ValueError(f"expected window_s > 0 and windows >= 3, got {self.window_s} and {self.windows}")


def main(config: DamageRanking) -> None:
    """Runs the experiment and writes `result.json`."""
    pairs = [*_material(config, config.train, "train"), *_material(config, config.held_out, "test")]
    write_pairs(config.out / "pairs.jsonl", pairs)
    audio, store, run = config.out / "audio", config.out / "store", config.out / "run"
    export = ("--pairs", config.out / "pairs.jsonl", "--audio-root", audio, "--out", store, "--encoders", "mel")
    _run("feature_export", "export", *export)
    sweep = ("--trials", config.trials, "--max-epochs", config.max_epochs, "--patience", 15, "--space.widths", WIDTHS)
    _run("trainers.sweep", "--store", store, "--out", run, *sweep)
    rewards = config.out / "rewards.jsonl"
    _run("tunejury_jax.cli", "score", audio / "test", "--checkpoint", run / "best", "--out", rewards)
    result = _result(config, _rewards(rewards))
    (config.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["clean_above_worst"], indent=2))


def _material(config: DamageRanking, folder: Path, role: str) -> Iterator[Pair]:
    """Writes the windows of a folder's recordings, clean and damaged, and yields their pairs."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ACCEPTED)
    if not files:
        raise ValueError(f"{role}: {folder} holds no audio, accepted are {', '.join(ACCEPTED)}")
    for file in files:
        for number, window in enumerate(_windows(config, file)):
            split: Split = "test" if role == "test" else "valid" if number % 3 == 2 else "train"
            name = f"{role}/{file.stem}-{number}"
            seed = int.from_bytes(name.encode()[-6:])
            _write(config.out / "audio" / name / "clean.wav", window)
            for kind, rung in itertools.product(LADDERS, range(1, RUNGS + 1)):
                _write(config.out / "audio" / name / f"{kind}-{rung}.wav", damage(window, kind, rung, seed))
            yield from _pairs(name, split, np.random.default_rng(seed))


def _windows(config: DamageRanking, file: Path) -> Iterator[Window]:
    samples = prepare(load(file), SAMPLE_RATE_HZ, SignalPath()).numpy().astype(np.float64)
    length = round(config.window_s * SAMPLE_RATE_HZ)
    if len(samples) < length:
        raise ValueError(f"{file}: lasts {len(samples) / SAMPLE_RATE_HZ:g} s, a window {config.window_s:g} s")
    for start in np.linspace(0, len(samples) - length, config.windows).astype(int):
        window = samples[start : start + length]
        if np.abs(window).max() > SILENT:
            yield window
        else:
            print(f"passed over, nothing to damage in silence: {file.name} at {start / SAMPLE_RATE_HZ:.1f} s")


def _write(path: Path, samples: Window) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.9 * samples / np.abs(samples).max(), SAMPLE_RATE_HZ, subtype="PCM_16")


def _pairs(name: str, split: Split, rng: np.random.Generator) -> Iterator[Pair]:
    """Clean against every damage, and every rung against the next."""
    for kind in LADDERS:
        takes = ["clean", *(f"{kind}-{rung}" for rung in range(1, RUNGS + 1))]
        against_clean = (("clean", take) for take in takes[2:])
        for better, worse in itertools.chain(itertools.pairwise(takes), against_clean):
            yield _pair(name, split, (better, worse), swap=bool(rng.integers(2)))


def _pair(name: str, split: Split, takes: tuple[str, str], *, swap: bool) -> Pair:
    a, b = takes[::-1] if swap else takes
    return Pair(
        id=f"{name}/{takes[0]}/{takes[1]}",
        source="damage",
        audio_a=f"{name}/{a}.wav",
        audio_b=f"{name}/{b}.wav",
        label="b" if swap else "a",
        split=split,
    )


def _run(module: str, *arguments: Any) -> None:
    subprocess.run([sys.executable, "-m", module, *map(str, arguments)], check=True)


def _rewards(path: Path) -> dict[str, float]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["id"]: row["reward"] for row in rows}


def _result(config: DamageRanking, rewards: dict[str, float]) -> dict[str, Any]:
    names = sorted({id_.rsplit("/", 1)[0] for id_ in rewards})
    ranked = {kind: _share(rewards, names, [kind]) for kind in LADDERS}
    metrics = json.loads((config.out / "run" / "test" / "metrics.json").read_text())
    return {
        "question": "share of held-out windows that score higher clean than at the worst rung",
        "windows": len(names),
        "window_s": config.window_s,
        "clean_above_worst": {**ranked, "all kinds": _share(rewards, names, list(LADDERS))},
        "pair_accuracy": metrics["accuracy"],
        "trained_on": len({path.stem for path in config.train.rglob("*") if path.suffix.lower() in ACCEPTED}),
        "same_recordings": config.train.resolve() == config.held_out.resolve(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"processor": platform.machine(), "system": platform.system(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("tunejury-jax", "jax", "torch", "numpy")},
    }


def _share(rewards: dict[str, float], names: Sequence[str], kinds: Sequence[Kind]) -> dict[str, float | int]:
    right = sum(
        rewards[f"{name}/clean.wav"] > rewards[f"{name}/{kind}-{RUNGS}.wav"] for name in names for kind in kinds
    )
    trials = len(names) * len(kinds)
    low, high = wilson(right, trials)
    return {"right": right, "of": trials, "value": right / trials, "low": low, "high": high}


if __name__ == "__main__":
    command("python -m benchmarks.damage_ranking", DamageRanking, main)
