"""Results of CMI-RewardBench drawn at random, in the layout in which its own code writes them."""

from typing import Any

import numpy as np

__all__ = ["bench_rows", "predicted"]

MONTHS = ("07-2025JUL", "08-2025AUG")


def bench_rows(each: int = 40, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of the benchmark's own test file, `each` of every data set."""
    draw = np.random.default_rng(seed)
    return [
        *(_rated(draw, "PAM (music)", f"human_eval/music/system/{n}.wav", f"prompt {n}") for n in range(each)),
        *(_rated(draw, "MusicEval", f"MusicEval_data/test_audio/{n}.wav", "") for n in range(each)),
        *(_battle(draw, n) for n in range(each)),
        *(_preference(draw, n) for n in range(each)),
    ]


def predicted(row: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """A row with predictions that have something to do with its labels."""
    draw = np.random.default_rng((seed, sum(map(ord, row["audio-path"]))))
    dataset = {"P": "PAM", "M": "MusicEval", "c": "CMI-Pref"}[row["source"][0]]
    dataset = "MusicArena" if "Arena" in row["source"] else dataset
    found = {"benchmark_dataset": dataset, "inference_valid_a": True, "inference_error": ""}
    scores = {end: draw.normal(size=2).round(3) for end in ("", "_b")[: 1 + ("audio2" in row)]}
    for end, (alignment, musicality) in scores.items():
        if "musicality" in row:
            musicality += row["musicality"]
        found |= {f"predicted_musicality{end}": musicality, f"predicted_text-music alignment{end}": alignment}
    if len(scores) == 2:
        sides = [("model_b", "model_a")[int(a > b)] for a, b in zip(scores[""], scores["_b"], strict=True)]
        found |= {"predicted_preference-alignment": sides[0], "predicted_preference-musicality": sides[1]}
        found |= {"predicted_preference": sides[1], "inference_valid_b": True}
    return row | {name: float(v) if isinstance(v, np.floating) else v for name, v in found.items()}


def _rated(draw: np.random.Generator, source: str, audio: str, prompt: str) -> dict[str, Any]:
    labels = {name: float(draw.integers(2, 11) / 2) for name in ("musicality", "text-music alignment")}
    return {"source": source, "split": "test", "audio-path": audio, "prompt": prompt} | labels


def _battle(draw: np.random.Generator, number: int) -> dict[str, Any]:
    name = f"MusicArena_data/audio_files/{MONTHS[number % 2]}/original-{number:08x}-0000-4000-8000-{number:012x}"
    audio = {"audio-path": f"{name}-a.mp3", "audio2": f"{name}-b.mp3"}
    preference = str(draw.choice(["A", "B"]))
    return {"source": "Music Arena", "split": "test", "prompt": f"prompt {number}", "preference": preference} | audio


def _preference(draw: np.random.Generator, number: int) -> dict[str, Any]:
    axes = ("musicality", "alignment")
    sides = {axis: str(draw.choice(["model_a", "model_b"])) for axis in axes}
    return {
        "source": "cmi-arena-annotation",
        "split": "test",
        "audio-path": f"cmi-pref/gen-audio/{number:08x}.mp3",
        "audio2": f"cmi-pref/gen-audio/{number + 5000:08x}.mp3",
        "prompt": f"prompt {number}",
        "lyrics": str(draw.choice(["", "la la"])),
        "ref-audio-path": str(draw.choice(["", "cmi-pref/ref-audio/0.mp3"])),
        "preference": sides,
        **{f"preference-{axis}": side for axis, side in sides.items()},
        **{f"confidence_preference-{axis}": str(float(draw.integers(1, 6))) for axis in axes},
    }
