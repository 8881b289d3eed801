"""The demo data set on disk: `audio/song-0012/noise-3.wav`, `pairs.jsonl`, and `demo.json`, which says how it was made.

Every file is written under another name and then moved into place, the pairs last, so a run that was cut off leaves
only whole files, and the next run goes on where it stopped.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float

from feature_export.demo.config import DemoConfig
from feature_export.demo.damage_pairs import damage_pairs
from feature_export.demo.prompt_pairs import prompt_pairs
from feature_export.demo.render import render
from feature_export.demo.song import draw_song
from feature_export.demo.takes import Take, draw_takes, play
from feature_export.demo.timbre import SAMPLE_RATE_HZ
from tunejury_jax.documents import fill_whole, write_whole
from tunejury_jax.pairs import Pair, write_pairs

__all__ = ["demo_pairs", "demo_takes", "write_demo"]

VERSION = 1
"""Goes up whenever the same configuration would give other sound or other pairs."""

WAV_HEADER_BYTES, SAMPLE_BYTES = 44, 2


def write_demo(out: Path, size: DemoConfig, on_clip: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Writes the demo data set, or what is missing of it.

    Args:
        out: Folder for it, made where it does not exist.
        on_clip: Called after each clip, written or found, with the clips done and their total.

    Returns:
        The pairs file; its paths are relative to `out/audio`.

    Raises:
        ValueError: The folder holds audio of another data set.
    """
    _claim(out, size)
    pairs = demo_pairs(size)
    takes = demo_takes(size, pairs)
    done = 0
    for song, of_song in groupby(takes, key=lambda take: take.song):
        for _ in _write_song(out / "audio", size, song, list(of_song)):
            on_clip(done := done + 1, len(takes))
    fill_whole(out / "pairs.jsonl", lambda path: write_pairs(path, pairs))
    return out / "pairs.jsonl"


def demo_pairs(config: DemoConfig) -> list[Pair]:
    """All pairs, split by split."""
    return [pair for split in config.splits() for make in (damage_pairs, prompt_pairs) for pair in make(config, split)]


def demo_takes(config: DemoConfig, pairs: Iterable[Pair]) -> list[Take]:
    """The takes that occur in `pairs`, song by song: what has to be written."""
    heard = {path for pair in pairs for path in (pair.audio_a, pair.audio_b)}
    return [take for song in range(config.songs) for take in draw_takes(config, song) if take.path in heard]


def _claim(out: Path, config: DemoConfig) -> None:
    """Marks the folder as this data set's, before any audio is in it: kept files are never another data set's."""
    stamp = out / "demo.json"
    wanted = {"version": VERSION, **asdict(config)}
    if stamp.exists() and json.loads(stamp.read_text()) != wanted:
        raise ValueError(f"out: {stamp} describes another data set, {stamp.read_text().strip()}; choose another folder")
    if not stamp.exists() and (out / "audio").exists():
        raise ValueError(f"out: {out / 'audio'} exists but was not written by the demo; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(stamp, json.dumps(wanted) + "\n")


def _write_song(root: Path, config: DemoConfig, song: int, takes: list[Take]) -> Iterator[Take]:
    """Writes the clips of one song that are not whole; the song is rendered only if there are any."""
    clean = None
    (root / takes[0].path).parent.mkdir(parents=True, exist_ok=True)
    for take in takes:
        if not _whole(root / take.path, config.duration_s):
            clean = render(draw_song(config.seed, song), config.duration_s) if clean is None else clean
            _write_clip(root / take.path, play(take, clean))
        yield take


def _whole(path: Path, duration_s: float) -> bool:
    expected = WAV_HEADER_BYTES + SAMPLE_BYTES * round(duration_s * SAMPLE_RATE_HZ)
    return path.exists() and path.stat().st_size == expected


def _write_clip(path: Path, samples: Float[np.ndarray, " samples"]) -> None:
    fill_whole(path, lambda part: soundfile.write(part, samples, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16"))
