"""What MuQ-MuLan hears at once: consecutive chunks of 10 s.

The last chunk of a clip that is no multiple of 10 s goes on with the start of the clip. Where that is not enough, in
clips of less than 5 s, it stays shorter, so 3 s are heard as 6 s. `SignalPath.crop` does not apply.

The published model cannot hear less than `SHORTEST`: clips of less than 22 ms are repeated until they are as long.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from feature_export.audio import SignalPath, Waveform, prepare

__all__ = ["CHUNK_S", "RATE_HZ", "SHORTEST", "MuqFraming", "chunks"]

RATE_HZ = 24_000
CHUNK_S = 10
CHUNK = CHUNK_S * RATE_HZ

SHORTEST = 1025
"""Samples: frames of 2048 are centred on the first one and mirrored, which takes 1024 more."""


@dataclass(frozen=True)
class MuqFraming:
    """Cuts clips into what the network hears."""

    path: SignalPath

    def windows(self, wave: Waveform) -> tuple[Float[Tensor, " _"], ...]:
        """The chunks of a clip, all but the last of 10 s; differentiable."""
        return chunks(prepare(wave, RATE_HZ, self.path))


def chunks(samples: Float[Tensor, " samples"]) -> tuple[Float[Tensor, " _"], ...]:
    """Cuts a waveform of at least one sample at 24 kHz into chunks.

    >>> [len(chunk) / RATE_HZ for chunk in chunks(torch.zeros(25 * RATE_HZ))]
    [10.0, 10.0, 10.0]
    >>> [len(chunk) / RATE_HZ for chunk in chunks(torch.zeros(3 * RATE_HZ))]
    [6.0]
    """
    *whole, last = samples.split(CHUNK)
    last = torch.cat([last, samples[: CHUNK - len(last)]])
    return *whole, last.repeat(-(-SHORTEST // len(last)))
