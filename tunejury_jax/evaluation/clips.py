"""Clips from audio files, as the sanity ladders take them: mono, 16 kHz."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tunejury_jax.evaluation.signals import RATE_HZ
from tunejury_jax.extras import import_extra
from tunejury_jax.score_files import find_audio
from tunejury_jax.scorer import accepted_audio

__all__ = ["load_clips"]


def load_clips(inputs: Sequence[Path], count: int) -> tuple[list[str], list[Float[np.ndarray, " _"]]]:
    """Reads the first clips of files and folders.

    Args:
        inputs: See `find_audio`.
        count: How many, at least 1; fewer if there are not so many.

    Returns:
        Their ids and their samples.

    Raises:
        ValueError: The count is below 1, there is no audio, or a file cannot be read.
    """
    if count < 1:
        raise ValueError(f"clips: expected at least 1, got {count}")
    files = find_audio(inputs, accepted_audio())[0][:count]
    if not files:
        raise ValueError("inputs: expected at least one file or folder")
    return [file.id for file in files], [_read(file.path) for file in files]


def _read(path: Path) -> Float[np.ndarray, " _"]:
    audio = import_extra("feature_export.audio", "reading audio")
    resample = import_extra("feature_export.resample", "reading audio").resample
    wave = audio.load(path)
    return resample(audio.mono(wave), wave.sample_rate_hz, RATE_HZ).numpy().astype(np.float64)
