r"""Facts of the decoded file, before any processing: stored beside the features, never an input of a head.

`FACTS` in order: duration in seconds, sampling rate in Hz, number of channels, peak $\max|x|$, and
$10 \log_{10} \langle x^2 \rangle$ in dB relative to full scale over all channels, not below -120.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from feature_export.audio import Waveform
from feature_export.encoders.protocol import Provenance
from tunejury_jax.blocks import FACTS, SIGNAL

__all__ = ["SignalFacts"]

RMS_FLOOR = 1e-12
"""Mean square of -120 dBFS."""


@dataclass(frozen=True)
class SignalFacts:
    """The encoder of `signal`: a member of every stack."""

    block = SIGNAL
    sample_rate_hz = None
    revision = "1"
    description = "facts of the decoded file: " + ", ".join(FACTS)

    def provenance(self) -> Provenance:
        """Two of these with equal provenance make equal features."""
        return {
            "encoder": self.block.name,
            "revision": self.revision,
            "sample_rate_hz": self.sample_rate_hz,
            "pooling": ", ".join(FACTS),
            "dtype": "float32",
        }

    def embed(self, wave: Waveform) -> Float[Tensor, " 5"]:
        """The five facts, in the dtype of the samples."""
        channels, frames = wave.samples.shape
        known = wave.samples.new_tensor([frames / wave.sample_rate_hz, wave.sample_rate_hz, channels])
        mean_square = wave.samples.square().mean().clamp_min(RMS_FLOOR)
        return torch.cat([known, torch.stack([wave.samples.abs().max(), 10 * mean_square.log10()])])
