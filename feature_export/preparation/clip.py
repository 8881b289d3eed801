"""What is done with a clip before a network hears it: hashed, decoded once, embedded by what needs no network, and
cut into windows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from feature_export.audio import AudioError, Waveform, load
from feature_export.decode import Span
from feature_export.encoders.protocol import AudioEncoder, Framing, WindowedEncoder
from feature_export.encoders.stack import Stack
from feature_export.preparation.digest import file_sha256

__all__ = ["ClipFile", "Preparation", "Prepared", "Windows"]


class ClipFile(NamedTuple):
    """A clip to prepare: its file, and the span of it in seconds that was heard."""

    path: Path
    span_s: Span | None = None


class Windows(NamedTuple):
    """The windows of a clip, one after the other in one tensor: it moves between processes as one piece."""

    samples: Float[Tensor, " samples"]
    lengths: tuple[int, ...]


class Prepared(NamedTuple):
    """A clip as the networks take it.

    Attributes:
        audio_sha256: Of the file; None where there is none.
        reason: Why it cannot be used; None if it can.
        peak: The largest sample.
        embedded: By block, what encoders without a network made of it.
        windows: By block, what the network hears.
    """

    audio_sha256: str | None
    reason: str | None = None
    peak: float = 0.0
    embedded: Mapping[str, Float[np.ndarray, " _"]] = {}
    windows: Mapping[str, Windows] = {}

    @property
    def nbytes(self) -> int:
        """Of the windows."""
        return sum(windows.samples.nbytes for windows in self.windows.values())


@dataclass(frozen=True)
class Preparation:
    """Prepares clips for the encoders of a stack; picklable.

    Attributes:
        whole: Encoders that take a clip whole and have no network.
        framings: By block of the others, how they cut it.
        rates_hz: Sampling rates that clips are converted to.
    """

    whole: tuple[AudioEncoder, ...]
    framings: Mapping[str, Framing]
    rates_hz: tuple[int, ...]

    @classmethod
    def of(cls, stack: Stack) -> "Preparation":
        encoders = stack.audio_encoders
        return cls(
            whole=tuple(encoder for encoder in encoders if not isinstance(encoder, WindowedEncoder)),
            framings={e.block.name: e.framing for e in encoders if isinstance(e, WindowedEncoder)},
            rates_hz=tuple(encoder.sample_rate_hz for encoder in encoders if encoder.sample_rate_hz),
        )

    def __call__(self, clip: ClipFile) -> Prepared:
        """Prepares one clip; one that cannot be used has a reason."""
        digest = file_sha256(clip.path)
        try:
            with torch.inference_mode():
                return self._prepared(load(clip.path, clip.span_s), digest)
        except AudioError as error:  # the store is the same wherever the audio lies
            return Prepared(digest, str(error).removeprefix(f"{clip.path}: "))
        except (ValueError, RuntimeError, MemoryError) as error:
            return Prepared(digest, str(error) or type(error).__name__)

    def _prepared(self, wave: Waveform, digest: str | None) -> Prepared:
        return Prepared(
            audio_sha256=digest,
            peak=float(wave.samples.abs().max()),
            embedded={encoder.block.name: encoder.embed(wave).numpy() for encoder in self.whole},
            windows={name: _packed(framing.windows(wave)) for name, framing in self.framings.items()},
        )


def _packed(windows: tuple[Float[Tensor, " _"], ...]) -> Windows:
    return Windows(torch.cat(windows), tuple(len(window) for window in windows))
