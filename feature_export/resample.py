r"""The only resampler of the project: a windowed sinc, differentiable, in the dtype of the waveform.

Reduce the rates by their greatest common divisor to $o \to n$ and let $b = 0.99 \min(o, n)$ be the cut-off a hair
below the lower Nyquist rate. Output sample $i$ lies at input time $t_i = i\,o/n$ and is

$$ y_i = \sum_j x_j \, \frac{b}{o} \, h\!\left(b \left(\frac{j}{o} - \frac{i}{n}\right)\right), \qquad
   h(u) = \operatorname{sinc}(u) \cos^2\!\left(\frac{\pi u}{12}\right) \text{ for } |u| \le 6, \text{ else } 0. $$

The positions repeat every $n$ outputs, so $n$ short filters applied at stride $o$ give all of them: one convolution.
Rounding follows `torchaudio.functional.resample` with its defaults, bit for bit, because rewards move with it
(encoders.md section 6): the filters are computed in the dtype of the waveform, in the same order of operations.
"""

import functools
import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["MAX_KERNEL_ELEMENTS", "resample"]

LOBES = 6
"""Zero crossings of the sinc on each side of its centre."""

ROLLOFF = 0.99
"""Cut-off as a share of the lower Nyquist frequency."""

MAX_KERNEL_ELEMENTS = 1 << 24
"""64 MiB of float32: n filters of about o taps. Every usual pair of rates needs less than a hundredth of it."""


def resample(samples: Float[Tensor, "*batch samples"], from_hz: int, to_hz: int) -> Float[Tensor, "*batch resampled"]:
    """Converts a waveform from one sampling rate to another; `ceil(samples * to_hz / from_hz)` samples come out.

    Args:
        samples: Waveform of any floating dtype; the last axis is time.
        from_hz: Its sampling rate in Hz.
        to_hz: The wanted sampling rate in Hz; the same rate returns `samples` itself.

    Raises:
        ValueError: A rate is not positive, or the two have so small a common divisor that the filters would not fit.

    >>> resample(torch.zeros(2, 44100), 44100, 24000).shape
    torch.Size([2, 24000])
    """
    old, new = _reduced(from_hz, to_hz)
    if old == new:
        return samples
    *batch, length = samples.shape
    margin = _margin(old, new)
    padded = torch.nn.functional.pad(samples.reshape(math.prod(batch), 1, length), (margin, margin + old))
    kernel = _kernel(old, new, samples.dtype).to(samples.device)
    phases = torch.nn.functional.conv1d(padded, kernel, stride=old)
    resampled = phases.transpose(1, 2).reshape(*batch, new * phases.shape[2])
    return resampled[..., : -(-new * length // old)]


def _reduced(from_hz: int, to_hz: int) -> tuple[int, int]:
    for field, rate_hz in (("from_hz", from_hz), ("to_hz", to_hz)):
        if rate_hz < 1:
            raise ValueError(f"{field}: expected a positive sampling rate in Hz, got {rate_hz}")
    common = math.gcd(from_hz, to_hz)
    old, new = from_hz // common, to_hz // common
    elements = new * (old + 2 * _margin(old, new))
    if elements > MAX_KERNEL_ELEMENTS:
        raise ValueError(
            f"from_hz, to_hz: {from_hz} -> {to_hz} have the common divisor {common} and would need a kernel of "
            f"{elements} elements, accepted are at most {MAX_KERNEL_ELEMENTS}"
        )
    return old, new


def _margin(old: int, new: int) -> int:
    """Input samples that the filter reaches to each side."""
    return math.ceil(LOBES * old / (min(old, new) * ROLLOFF))


@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)  # a cached inference tensor could not serve a later backward pass
def _kernel(old: int, new: int, dtype: torch.dtype) -> Float[Tensor, "phases 1 taps"]:
    cutoff = min(old, new) * ROLLOFF
    margin = _margin(old, new)
    taps = torch.arange(-margin, margin + old, dtype=dtype, device="cpu") / old
    phases = torch.arange(0, -new, -1, dtype=dtype, device="cpu")[:, None] / new
    u = ((phases + taps) * cutoff).clamp(-LOBES, LOBES)
    window = torch.cos(u * math.pi / LOBES / 2) ** 2
    angle = u * math.pi
    sinc = torch.where(angle == 0, torch.ones_like(angle), angle.sin() / angle)
    return (sinc * (window * (cutoff / old)))[:, None]
