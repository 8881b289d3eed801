"""Audio as callers of the scorer name it: a file, samples, or windows of them."""

import math
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from feature_export.audio import Waveform, load
from feature_export.encoders import waveform
from feature_export.preparation import ClipFile

__all__ = ["as_clip", "checked", "windows"]


def checked(audio: Any, sample_rate_hz: Any) -> Path | str | Shaped[np.ndarray, "..."]:
    """A file as it is, samples as an array.

    Args:
        audio: A file, a NumPy array or a torch tensor.
        sample_rate_hz: Of samples, in Hz.

    Raises:
        ValueError: It is none of them, or the rate is no whole number.
    """
    if sample_rate_hz is not None and (isinstance(sample_rate_hz, bool) or not isinstance(sample_rate_hz, Integral)):
        raise ValueError(f"sample_rate_hz: got {sample_rate_hz!r}, expected a whole number of Hz")
    if isinstance(audio, Tensor):
        audio = audio.detach().cpu()
        return (audio.float() if audio.is_floating_point() else audio).numpy()  # NumPy has no bfloat16
    if not isinstance(audio, Path | str | np.ndarray):
        raise ValueError(f"audio: got {type(audio).__name__}, accepted are a path, a NumPy array or a torch tensor")
    return audio


def as_clip(audio: Any, sample_rate_hz: Any) -> ClipFile | Waveform:
    """A clip to encode.

    Raises:
        ValueError: As `checked`, or the rate is missing or superfluous, or the samples cannot be used.
    """
    audio = checked(audio, sample_rate_hz)
    if isinstance(audio, np.ndarray):
        return waveform(audio, sample_rate_hz)
    if sample_rate_hz is not None:
        raise ValueError(f"sample_rate_hz: a file tells its own, expected None, got {sample_rate_hz}")
    return ClipFile(Path(audio))


def windows(audio: Any, sample_rate_hz: Any, window_s: float, hop_s: float) -> list[tuple[float, Waveform]]:
    """Decodes a clip and cuts it into windows; each with the second that it begins at.

    Args:
        audio: As for `as_clip`.
        sample_rate_hz: As for `as_clip`.
        window_s: Seconds of a window; a shorter clip is one window.
        hop_s: From one window to the next. The last window ends with the clip.

    Raises:
        ValueError: As `as_clip`, or a length is less than a sample or not finite.
    """
    clip = as_clip(audio, sample_rate_hz)
    wave = load(clip.path) if isinstance(clip, ClipFile) else clip
    rate_hz, samples = wave.sample_rate_hz, wave.samples.shape[1]
    for field, seconds in (("window_s", window_s), ("hop_s", hop_s)):
        if not (math.isfinite(seconds) and seconds * rate_hz >= 1):
            raise ValueError(f"{field}: got {seconds}, expected at least one sample, in seconds")
    length = min(round(window_s * rate_hz), samples)
    starts = dict.fromkeys([*range(0, samples - length, round(hop_s * rate_hz)), samples - length])
    return [(at / rate_hz, Waveform(wave.samples[:, at : at + length], rate_hz)) for at in starts]
