"""How much memory was needed."""

import resource
import sys
from typing import NamedTuple

import torch

__all__ = ["PeakMemory", "peak_memory"]


class PeakMemory(NamedTuple):
    """The most bytes held at once, and where."""

    bytes: int
    where: str

    def __str__(self) -> str:
        return f"{self.bytes / 2**30:.2f} GiB {self.where}"


def peak_memory() -> PeakMemory:
    """Of tensors on the GPU, where one was used; else of everything in the process, from its beginning."""
    on_gpu = max((torch.cuda.max_memory_allocated(number) for number in range(torch.cuda.device_count())), default=0)
    if on_gpu:
        return PeakMemory(on_gpu, "of tensors on the GPU")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return PeakMemory(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "in the process")
