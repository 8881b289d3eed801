"""Audio in: one loader and one signal path, shared by export, scorer and fine-tuning.

Two ways to encode one clip give two rewards (spec.md section 7), so whatever changes the samples on their way to an
encoder is a switch of `SignalPath`, travels in the provenance of the features, and is compared before scoring.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av.error
import numpy as np
import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

from feature_export.decode import MAX_DURATION_S, AudioError, Span, decode
from feature_export.resample import resample
from tunejury_jax.errors import one_of

__all__ = ["CROPS", "MAX_DURATION_S", "AudioError", "Crop", "SignalPath", "Waveform", "load", "mono", "prepare"]

Crop = Literal["middle", "first", "random", "windows"]
CROPS: tuple[Crop, ...] = ("middle", "first", "random", "windows")

COMPATIBLE_RATE_HZ = 16_000
INT16_STEPS = 32767.0
MAX_SEED = (1 << 32) - 1


class Waveform(NamedTuple):
    """Decoded audio: samples nominally in [-1, 1], one row a channel, and their sampling rate."""

    samples: Float[Tensor, "channels samples"]
    sample_rate_hz: int


@dataclass(frozen=True)
class SignalPath:
    """The switches between a decoded file and an encoder.

    Attributes:
        crop: Where an encoder with a fixed window takes it from a longer clip (`feature_export.crop`).
        train16k: Goes through 16 kHz first, as CLAP's features did that the published heads were trained on; MERT's
            did not, and its encoder passes this and `int16` over.
        int16: Clips and quantises to 16 bits, as the NumPy path of LAION-CLAP does.
        seed: Of the `random` crop.
    """

    crop: Crop = "middle"
    train16k: bool = False
    int16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _check_switches(dataclasses.asdict(self))

    @classmethod
    def of(cls, switches: Mapping[str, Any]) -> "SignalPath":
        """Rebuilds a path from recorded switches; raises a ValueError for one that this version does not have."""
        _check_switches(switches)
        return cls(**switches)


def _check_switches(switches: Mapping[str, Any]) -> None:
    for switch, value in switches.items():
        _CHECKS[one_of("signal_path", switch, tuple(_CHECKS))](switch, value)


def _check_crop(switch: str, value: Any) -> None:
    one_of(switch, value, CROPS)


def _check_flag(switch: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{switch}: expected true or false, got {value!r}")


def _check_seed(switch: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
        raise ValueError(f"{switch}: expected a whole number from 0 to {MAX_SEED}, got {value!r}")


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "crop": _check_crop,
    "train16k": _check_flag,
    "int16": _check_flag,
    "seed": _check_seed,
}


def load(path: Path, span_s: Span | None = None) -> Waveform:
    """Decodes an audio file, or a span of it, to float32 samples at the file's own rate.

    Args:
        path: A regular file of a type in `feature_export.decode.ACCEPTED`.
        span_s: Begin and end in seconds; None for the whole file.

    Raises:
        AudioError: The file is missing, not a regular file, of an unsupported type, truncated, empty, over a limit,
            shorter than the span, or has samples that are not finite.
    """
    try:
        _check_regular(path)
        samples, sample_rate_hz = decode(path, span_s)
        _check_finite(samples)
    except (ValueError, OSError, soundfile.SoundFileError, av.error.FFmpegError) as error:
        raise AudioError(f"{path}: {_reason(error)}") from error
    return Waveform(torch.from_numpy(samples), sample_rate_hz)


def _reason(error: Exception) -> str:
    """What went wrong, without the path that libraries put into their messages."""
    return getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)


def mono(wave: Waveform) -> Float[Tensor, " samples"]:
    """The mean over channels."""
    return wave.samples.mean(0)


def prepare(wave: Waveform, sample_rate_hz: int, path: SignalPath) -> Float[Tensor, " samples"]:
    """Brings a waveform to what an encoder listens to: mono, at its rate, through the switches; differentiable.

    Args:
        wave: Decoded audio.
        sample_rate_hz: The encoder's rate in Hz.
        path: The switches; `crop` is the business of encoders with a fixed window.

    Raises:
        ValueError: The rates cannot be converted into each other (`feature_export.resample`).
    """
    samples, rate_hz = mono(wave), wave.sample_rate_hz
    if path.train16k:
        samples, rate_hz = resample(samples, rate_hz, COMPATIBLE_RATE_HZ), COMPATIBLE_RATE_HZ
    samples = resample(samples, rate_hz, sample_rate_hz)
    return _quantise(samples) if path.int16 else samples


def _quantise(samples: Float[Tensor, " samples"]) -> Float[Tensor, " samples"]:
    """Truncates to multiples of 1/32767. Rounding is passed straight through by the gradient, clipping is not:
    beyond full scale a sample has no effect."""
    clipped = samples.clamp(-1, 1)
    steps = torch.trunc(clipped * INT16_STEPS) / INT16_STEPS
    return clipped + (steps - clipped).detach()  # exactly `steps`: the difference of such neighbours is not rounded


def _check_regular(path: Path) -> None:
    if not path.exists():
        raise AudioError("no such file")
    if path.is_dir():
        raise AudioError("is a directory, expected an audio file")
    if not path.is_file():
        raise AudioError("is not a regular file")


def _check_finite(samples: Float[np.ndarray, "channels samples"]) -> None:
    bad = samples.size - int(np.isfinite(samples).sum())
    if bad:
        raise AudioError(f"{bad} of {samples.size} samples are not finite")
