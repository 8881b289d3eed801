r"""The log-mel spectrogram that MuQ hears.

With Hann frames of 2048 samples every 240 at 24 kHz, centred and mirrored at both ends, and 128 HTK mel bands $M$ of
height 1 from 0 Hz to 12 kHz: $(10 \log_{10} \max(M |\mathrm{rfft}|^2, 10^{-10}) - \mu) / \sigma$. The last frame is
left out, so a second has 100.

Source: `MelSTFT` of the `muq` package, which names the constants, and `torchaudio.functional.melscale_fbanks`, whose
order of operations in float32 the bands follow.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from feature_export.encoders.muq.chunks import RATE_HZ

__all__ = ["BANDS", "HOP", "LogMel"]

N_FFT, HOP, BANDS = 2048, 240, 128
POWER_FLOOR = 1e-10


class LogMel(nn.Module):
    r"""The normalised spectrogram, in the dtype of the module; differentiable.

    Args:
        mean: $\mu$ in dB.
        std: $\sigma$ in dB.
    """

    window: Tensor
    basis: Tensor

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.register_buffer("basis", _bands(), persistent=False)

    def forward(self, samples: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch bands frames"]:
        """Of samples at 24 kHz."""
        spectrum = torch.stft(samples, N_FFT, HOP, window=self.window, return_complex=True)[..., :-1]
        power = spectrum.real.square() + spectrum.imag.square()
        bands = (power.mT @ self.basis).mT
        return (10 * bands.clamp_min(POWER_FLOOR).log10() - self.mean) / self.std


def _bands() -> Float[Tensor, "bins bands"]:
    r"""Triangles between neighbours on the scale of $2595 \log_{10}(1 + f / 700)$ mel."""
    bins_hz = torch.linspace(0, RATE_HZ // 2, N_FFT // 2 + 1)
    edges_mel = torch.linspace(0, 2595 * math.log10(1 + RATE_HZ / 2 / 700), BANDS + 2)
    edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
    apart = edges_hz[None] - bins_hz[:, None]
    rising, falling = -apart[:, :-2] / edges_hz.diff()[:-1], apart[:, 2:] / edges_hz.diff()[1:]
    return torch.minimum(rising, falling).clamp_min(0)
