r"""A weights-free audio encoder: 400 numbers computed from the spectrum of any clip, one sample or three hours long.

It is a baseline and a test encoder, **not a published TuneJury encoder**. Everything is written out here; with $x$
the mono waveform at 24 kHz, $\langle\cdot\rangle$ the mean over time and $\mathrm{dB}(p) = 10\log_{10}(p + 10^{-8})$:

**Spectrum.** Hann frames of 1024 samples every 240 (100 a second), $S_{tf} = |\mathrm{rfft}|^2 / \sum w^2$, so white
noise of unit variance has $S = 1$. Clips shorter than a frame are zero-padded to one on both sides; samples after the
last whole frame are left out. $L_{tb} = \mathrm{dB}(M S_t)_b$ with 64 Slaney mel bands $M$ of unit area: 0 dB is
white noise of unit variance, silence is -80 dB.

**Blocks**, in this order, each then shifted and scaled by its fixed (centre, scale) of `SCALES`:

1. `mel_mean` 64: $\langle L \rangle$ in dB.
2. `mel_std` 64: $\sqrt{\langle (L - \langle L \rangle)^2 \rangle + 10^{-4}}$ in dB.
3. `mel_delta` 64: $\langle |L_{t+1} - L_t| \rangle$ in dB; 0 for one frame.
4. `modulation` 128: how fast loudness moves. $G$ is the mean of $L$ over 16 groups of 4 bands, of $T$ frames. Less its
   tapered mean, tapered by $v_t = \sin^2(\pi (t + \frac12) / T)$ and zero-padded to at least 1024 frames, it has the
   spectral density $P = 2 |\mathrm{rfft}|^2 / (100\,\mathrm{Hz} \sum v^2)$ in dB²/Hz. $P$ is integrated over 8 bands,
   geometric from 0.5 to 50 Hz, which gives $E$ in dB²: independent of $T$ but for the resolution of $200/T$ Hz.
   The feature is $\log_{10}(E + 0.01)$.
5. `chroma_mean` 36: $\ln(36\,\langle C \rangle + 0.1)$. Magnitudes $\sqrt{S + 10^{-8}}$ of longer frames (8192 every
   2400) between 220 and 3520 Hz are folded into 36 pitch classes, three a semitone so that detuning shows, and divided
   by their sum.
6. `chroma_std` 36: $36\,\sqrt{\langle (C - \langle C \rangle)^2 \rangle + 10^{-8}}$.
7. `level` 5: the 5, 25, 50, 75 and 95 % quantiles over time of $\mathrm{dB}$ of the frame's mean power.
8. `crest` 1: $\ln(\max|x| + \epsilon) - \frac12 \ln(\langle x^2 \rangle + \epsilon^2)$, $\epsilon = 10^{-5}$.
9. `kurtosis` 1: $\ln(m_4 + \epsilon^4) - 2 \ln(m_2 + \epsilon^2)$ with central moments $m$.
10. `clipping` 1: $\ln(\langle \sigma((|x| / (\max|x| + \epsilon) - 0.98) / 0.005) \rangle + 10^{-5})$, the soft share
    of samples within 2 % of the peak.

The epsilons keep values and gradients finite for silence. The scales were fitted once by eye on a few music clips,
noise and tones: values for ordinary music have a mean near 0 and a deviation near 1.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from feature_export.audio import SignalPath, Waveform, prepare
from feature_export.encoders.bases import chroma_basis, mel_basis, modulation_basis
from feature_export.encoders.protocol import Provenance
from tunejury_jax.blocks import BLOCKS

__all__ = ["MelBaseline"]

RATE_HZ = 24_000
N_FFT, HOP = 1024, 240
CHROMA_N_FFT, CHROMA_HOP = 8192, 2400
BANDS, GROUPS = 64, 16
FRAME_RATE_HZ = RATE_HZ / HOP
MODULATION_EDGES_HZ = tuple(float(edge) for edge in np.geomspace(0.5, FRAME_RATE_HZ / 2, 9))
MODULATION_FRAMES = 1024
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
EPSILON = 1e-5
POWER_FLOOR = 1e-8
FRAMES_AT_ONCE = 4096
"""41 s: bounds the memory of the spectrum of a long clip; frames do not see each other, so no number changes."""

SCALES: dict[str, tuple[float, float]] = {
    "mel_mean": (-35.0, 20.0),
    "mel_std": (6.0, 2.5),
    "mel_delta": (1.8, 0.8),
    "modulation": (0.0, 0.6),
    "chroma_mean": (-0.1, 0.5),
    "chroma_std": (0.4, 0.35),
    "level": (-18.0, 8.0),
    "crest": (1.7, 0.4),
    "kurtosis": (1.4, 0.5),
    "clipping": (-10.8, 1.5),
}
"""(centre, scale) of each group: the feature is `(value - centre) / scale`."""


@dataclass(frozen=True)
class MelBaseline:
    """The encoder of `mel_baseline`; see the module for its formula.

    >>> MelBaseline().embed(Waveform(torch.zeros(1, 1), 44100)).shape
    torch.Size([400])
    """

    path: SignalPath = field(default_factory=SignalPath)

    block = next(block for block in BLOCKS if block.name == "mel_baseline")
    sample_rate_hz = RATE_HZ
    revision = "1"
    description = "weights-free baseline and test encoder, not a published TuneJury encoder"

    def provenance(self) -> Provenance:
        """Two of these with equal provenance make equal features."""
        return {
            "encoder": self.block.name,
            "revision": self.revision,
            "sample_rate_hz": self.sample_rate_hz,
            "signal_path": dataclasses.asdict(self.path),
            "pooling": "statistics over the whole clip",
            "dtype": "float32",
        }

    def embed(self, wave: Waveform) -> Float[Tensor, " dim"]:
        """Embeds one decoded clip of at least one sample, in the dtype of its samples; differentiable in them."""
        samples = prepare(wave, RATE_HZ, self.path)
        power, log_mel = _spectrum(samples)
        chroma = _chroma(samples)
        groups = {
            "mel_mean": log_mel.mean(0),
            "mel_std": _std(log_mel, 1e-4),
            "mel_delta": _mean_step(log_mel),
            "modulation": _modulation(log_mel),
            "chroma_mean": (36 * chroma.mean(0) + 0.1).log(),
            "chroma_std": 36 * _std(chroma, 1e-8),
            "level": _quantiles(_db(power)),
            "crest": _crest(samples),
            "kurtosis": _kurtosis(samples),
            "clipping": _clipping(samples),
        }
        return torch.cat([(groups[name].reshape(-1) - centre) / scale for name, (centre, scale) in SCALES.items()])


def _spectrum(samples: Float[Tensor, " samples"]) -> tuple[Float[Tensor, " frames"], Float[Tensor, "frames bands"]]:
    """Mean power and log-mel bands of every frame."""
    basis = _like(mel_basis(BANDS, N_FFT, RATE_HZ).T, samples)
    pieces = _by_pieces(samples, N_FFT, HOP, lambda power: torch.cat([_mean_power(power), power @ basis], dim=1))
    return pieces[:, 0], _db(pieces[:, 1:])


def _chroma(samples: Float[Tensor, " samples"]) -> Float[Tensor, "frames 36"]:
    basis = _like(chroma_basis(CHROMA_N_FFT, RATE_HZ).T, samples)
    folded = _by_pieces(samples, CHROMA_N_FFT, CHROMA_HOP, lambda power: (power + POWER_FLOOR).sqrt() @ basis)
    return folded / folded.sum(1, keepdim=True)


def _by_pieces(
    samples: Float[Tensor, " samples"],
    n_fft: int,
    hop: int,
    gather: Callable[[Float[Tensor, "_ bins"]], Float[Tensor, "_ columns"]],
) -> Float[Tensor, "frames columns"]:
    """Applies `gather` to the power spectra of Hann frames, a bounded number of frames at a time."""
    window = torch.hann_window(n_fft, dtype=samples.dtype, device=samples.device)
    missing = max(0, n_fft - len(samples))
    padded = torch.nn.functional.pad(samples, (missing // 2, missing - missing // 2))
    frames = padded.unfold(0, n_fft, hop)
    spectra = (torch.fft.rfft(piece * window) for piece in frames.split(FRAMES_AT_ONCE * N_FFT // n_fft))
    return torch.cat([gather((s.real.square() + s.imag.square()) / window.square().sum()) for s in spectra])


def _mean_power(power: Float[Tensor, "frames bins"]) -> Float[Tensor, "frames 1"]:
    """The mean over all bins of the two-sided spectrum, which has the inner bins twice."""
    return (2 * power.sum(1, keepdim=True) - power[:, :1] - power[:, -1:]) / N_FFT


def _modulation(log_mel: Float[Tensor, "frames bands"]) -> Float[Tensor, "groups modulations"]:
    frames = len(log_mel)
    groups = log_mel.T.reshape(GROUPS, -1, frames).mean(1)
    phase = torch.arange(frames, dtype=log_mel.dtype, device=log_mel.device) + 0.5
    taper = torch.sin(phase * (math.pi / frames)).square()
    centred = groups - (groups * taper).sum(1, keepdim=True) / taper.sum()
    n_fft = max(frames, MODULATION_FRAMES)
    spectrum = torch.fft.rfft(centred * taper, n_fft)
    density = 2 * (spectrum.real.square() + spectrum.imag.square()) / (FRAME_RATE_HZ * taper.square().sum())
    basis = _like(modulation_basis(MODULATION_EDGES_HZ, n_fft, FRAME_RATE_HZ).T, density)
    return torch.log10(density @ basis + 0.01)


def _mean_step(log_mel: Float[Tensor, "frames bands"]) -> Float[Tensor, " bands"]:
    return (log_mel[1:] - log_mel[:-1]).abs().sum(0) / max(len(log_mel) - 1, 1)


def _std(values: Float[Tensor, "frames columns"], epsilon: float) -> Float[Tensor, " columns"]:
    # The variance, not the root, carries the epsilon: the root of 0 has no finite gradient.
    return ((values - values.mean(0)).square().mean(0) + epsilon).sqrt()


def _quantiles(level: Float[Tensor, " frames"]) -> Float[Tensor, " 5"]:
    return torch.quantile(level, torch.tensor(QUANTILES, dtype=level.dtype, device=level.device))


def _crest(samples: Float[Tensor, " samples"]) -> Float[Tensor, ""]:
    return (samples.abs().max() + EPSILON).log() - (samples.square().mean() + EPSILON**2).log() / 2


def _kurtosis(samples: Float[Tensor, " samples"]) -> Float[Tensor, ""]:
    squares = (samples - samples.mean()).square()
    return (squares.square().mean() + EPSILON**4).log() - 2 * (squares.mean() + EPSILON**2).log()


def _clipping(samples: Float[Tensor, " samples"]) -> Float[Tensor, ""]:
    height = samples.abs() / (samples.abs().max() + EPSILON)
    return (torch.sigmoid((height - 0.98) / 0.005).mean() + EPSILON).log()


def _db(power: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return 10 * torch.log10(power + POWER_FLOOR)


def _like(basis: Float[np.ndarray, "rows columns"], samples: Float[Tensor, "*shape"]) -> Float[Tensor, "rows columns"]:
    return torch.from_numpy(basis).to(samples)
