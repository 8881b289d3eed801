"""A generator of tones in noise, whose clips get better with some seeds; it can be slow, and short of memory."""

import time
import zlib
from dataclasses import dataclass, field

import torch

__all__ = ["ToyGenerator"]


@dataclass
class ToyGenerator:
    """Makes the clip of a prompt and a seed, whatever is beside it; `calls` has the size of every batch."""

    holds: int = 1000
    seconds_a_clip: float = 0.0
    name: str = "toy"
    sample_rate_hz: int = 16_000
    calls: list[int] = field(default_factory=list)

    def provenance(self):
        return {"generator": self.name, "noise": (0.05, 0.5)}

    def generate(self, prompts, seeds, duration_s):
        self.calls.append(len(prompts))
        if len(prompts) > self.holds:
            raise torch.OutOfMemoryError("tried to allocate 3 of 2 GiB")
        time.sleep(self.seconds_a_clip * len(prompts))
        return torch.stack([self._clip(*each, duration_s) for each in zip(prompts, seeds, strict=True)])

    def _clip(self, prompt, seed, duration_s):
        draws = torch.Generator().manual_seed(zlib.crc32(prompt.encode()) + seed)
        time_s = torch.arange(round(duration_s * self.sample_rate_hz)) / self.sample_rate_hz
        pitch, level = 200 + 400 * torch.rand(1, generator=draws), 0.05 + 0.45 * torch.rand(1, generator=draws)
        noise = torch.randn(len(time_s), generator=draws)
        return (0.3 * torch.sin(2 * torch.pi * pitch * time_s) + level * 0.3 * noise)[None]
