r"""The times of rectified flow that stable-audio-tools samples at and trains at.

Sampling: $t = \sigma(-\lambda)$ with $\lambda$ in equal steps from -6 to 2, the first made 1 and the last 0.

Training draws $t$ by one of `TIMES`, with normal $n$ and its distribution function $\Phi$:

* `uniform` in [0, 1];
* `logit_normal`: $\sigma(n)$;
* `trunc_logit_normal`: $1 - (s - c) / (1 - c)$ with $s = \sigma(\Phi^{-1}(u))$, $u$ uniform from $\Phi(\sigma^{-1}(c))$
  to 1, $c = 0.075$: the logit-normal, cut off and stretched back.

A shift for the length $L$ of latents then moves it towards the noise, which longer clips need more of:
$t / (t + (1 - t)\, e^{\mu})$, where $-\mu$ runs linearly from `base_shift` to `max_shift` between two lengths.

Source: github.com/Stability-AI/stable-audio-tools, `inference/sampling.py` and `training/diffusion.py`.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["TIMES", "Shift", "sampling_times"]

Times = Float[Tensor, " batch"]

FIRST_LOG_SNR, LAST_LOG_SNR = -6.0, 2.0
CUT = 0.075


def sampling_times(steps: int) -> Float[Tensor, " steps_and_1"]:
    """Falling times from 1 to 0."""
    times = torch.sigmoid(-torch.linspace(FIRST_LOG_SNR, LAST_LOG_SNR, steps + 1))
    times[0], times[-1] = 1, 0
    return times


def _uniform(count: int, draws: torch.Generator) -> Times:
    return torch.rand(count, generator=draws)


def _logit_normal(count: int, draws: torch.Generator) -> Times:
    return torch.randn(count, generator=draws).sigmoid()


def _trunc_logit_normal(count: int, draws: torch.Generator) -> Times:
    least = torch.special.ndtr(torch.logit(torch.tensor(CUT)))
    kept = torch.special.ndtri(least + (1 - least) * torch.rand(count, generator=draws)).sigmoid()
    return 1 - (kept - CUT) / (1 - CUT)


TIMES = {"uniform": _uniform, "logit_normal": _logit_normal, "trunc_logit_normal": _trunc_logit_normal}
"""How many and a generator of random numbers to as many times."""


@dataclass(frozen=True)
class Shift:
    """Of the times of training, for the length of the latents; see the module."""

    base_shift: float = 0.5
    max_shift: float = 1.15
    min_length: int = 256
    max_length: int = 4096

    def __call__(self, times: Times, length: int) -> Times:
        """The shifted times."""
        share = (min(max(length, self.min_length), self.max_length) - self.min_length) / (
            self.max_length - self.min_length
        )
        mu = -(self.base_shift + (self.max_shift - self.base_shift) * share)
        return times / (times + (1 - times) * math.exp(mu))
