"""Tiny audio files, good and bad, and pairs over them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from tunejury_jax.pairs import LABELS, Pair, Span, write_pairs

__all__ = ["BAD", "RATE_HZ", "clip_pairs", "write_bad", "write_clips", "write_m4a"]

RATE_HZ = 16_000
LONG_NAME = "x" * 300 + ".wav"

BAD: dict[str, str] = {
    "bad/missing.wav": "no such file",
    "bad/empty.wav": "Invalid data found when processing input",
    "bad/text.wav": "Invalid data found when processing input",
    "bad/zero.wav": "zero length: holds no samples",
    "bad/truncated.wav": "truncated: 9600 bytes of audio promised, 4800 are there",
    "bad/nan.wav": "2 of 4800 samples are not finite",
    "bad/loud.wav": "signal: the embedding is not finite, the samples reach 1e+30, full scale is 1",
    "bad/notes.txt": "unsupported file type '.txt', accepted are ",
    "bad/folder.wav": "is a directory, expected an audio file",
    f"bad/{LONG_NAME}": "File name too long",
    "bad/nul\0.wav": "no such file",
}
"""Path below the audio root -> how the reason of its failure begins."""


def noise(seconds: float, seed: int, channels: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (0.1 * generator.standard_normal((round(seconds * RATE_HZ), channels))).astype(np.float32)


def write_clips(root: Path, count: int, seconds: float = 0.3) -> list[str]:
    """Writes short wavs that all differ; returns their paths below the root."""
    root.mkdir(parents=True, exist_ok=True)
    names = [f"{number:03}.wav" for number in range(count)]
    for number, name in enumerate(names):
        soundfile.write(root / name, noise(seconds, number, 1 + number % 2), RATE_HZ)
    return names


def write_bad(root: Path) -> list[str]:
    """Writes the files of `BAD`, as far as they can be; returns their paths below the root."""
    folder, good = root / "bad", noise(0.3, 0)
    (folder / "folder.wav").mkdir(parents=True)
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("not a sound")
    (folder / "notes.txt").write_text("not a sound")
    soundfile.write(folder / "zero.wav", good[:0], RATE_HZ)
    soundfile.write(folder / "truncated.wav", good, RATE_HZ)
    (folder / "truncated.wav").write_bytes((folder / "truncated.wav").read_bytes()[:-4800])
    spoiled = good.copy()
    spoiled[[7, 8], 0] = np.nan, np.inf
    soundfile.write(folder / "nan.wav", spoiled, RATE_HZ, subtype="FLOAT")
    soundfile.write(folder / "loud.wav", np.full_like(good, 1e30), RATE_HZ, subtype="FLOAT")
    return list(BAD)


def write_m4a(path: Path, seconds: float = 0.5) -> None:
    """Writes noise as AAC in an mp4 container."""
    with av.open(str(path), "w", format="ipod") as container:
        stream: Any = container.add_stream("aac", rate=RATE_HZ)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(noise(seconds, 0).T.copy(), format="fltp", layout="mono")
        frame.rate, frame.pts = RATE_HZ, 0
        fit = av.AudioResampler("fltp", "mono", RATE_HZ, stream.codec_context.frame_size)
        for piece in [*fit.resample(frame), *fit.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def clip_pairs(
    names: Iterable[str], path: Path | None = None, span: Span | None = None, prompts: int = 3
) -> list[Pair]:
    """Pairs each file with the next one, in a ring; also writes them as a pairs file if a path is given."""
    ring = list(names)
    pairs = [
        Pair(
            id=f"p{number:03}",
            source="Noise",
            audio_a=name,
            audio_b=ring[(number + 1) % len(ring)],
            label=LABELS[number % 4],
            prompt=f"prompt {number % prompts}" if prompts else "",
            span_a=span,
            span_b=span,
        )
        for number, name in enumerate(ring)
    ]
    if path:
        write_pairs(path, pairs)
    return pairs
