"""Windows of many clips through one network: those of one length together, pooled by clip.

Which windows go together depends on the clips and their order alone, never on time, so the same block encoded again
gives the same bits. Nothing is padded, since padding changes what some networks make of a window.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from feature_export.encoders.protocol import WindowedEncoder
from feature_export.preparation import Windows

__all__ = ["Batches"]

Array = Float[np.ndarray, " dim"]

# After a fault of the device every later call fails: a reason to stop, not to fail all rows that are left.
_FATAL: tuple[type[Exception], ...] = (torch.AcceleratorError,) if hasattr(torch, "AcceleratorError") else ()


class _Window(NamedTuple):
    row: int
    place: int
    samples: Float[Tensor, " samples"]


class _Clip(NamedTuple):
    lengths: tuple[int, ...]
    embedded: dict[int, Float[Tensor, " dim"] | str]


class Batches:
    """The clips of a block on their way through one encoder.

    Attributes:
        results: By row, the embedding of a clip or why there is none.
        halved: How often a batch did not fit the memory and was halved.
    """

    def __init__(self, encoder: WindowedEncoder, batch_s: float, memory_bytes: int) -> None:
        """
        Args:
            encoder: Takes windows of one length together.
            batch_s: Seconds of audio in a batch, or one window.
            memory_bytes: Windows that wait for others of their length; beyond it the largest group goes as it is.
        """
        self._encoder, self._memory_bytes = encoder, memory_bytes
        self._batch_samples = batch_s * (encoder.sample_rate_hz or 1)
        self._groups: dict[int, list[_Window]] = {}
        self._clips: dict[int, _Clip] = {}
        self.results: dict[int, Array | str] = {}
        self.halved = 0

    @property
    def waiting(self) -> int:
        """How many clips have windows that are not run yet."""
        return len(self._clips)

    def add(self, row: int, windows: Windows) -> None:
        """Takes the windows of a clip; runs what is full."""
        self._clips[row] = _Clip(windows.lengths, {})
        for place, samples in enumerate(windows.samples.split(list(windows.lengths))):
            self._groups.setdefault(len(samples), []).append(_Window(row, place, samples))
            if (len(self._groups[len(samples)]) + 1) * len(samples) > self._batch_samples:
                self._run(len(samples))
        while self._held_bytes() > self._memory_bytes:
            self._run(max(self._groups, key=lambda length: length * len(self._groups[length])))

    def finish(self) -> None:
        """Runs what is left, longest windows first."""
        for length in sorted(self._groups, reverse=True):
            self._run(length)

    def _held_bytes(self) -> int:
        return sum(window.samples.nbytes for group in self._groups.values() for window in group)

    def _run(self, length: int) -> None:
        windows = self._groups.pop(length)
        with torch.inference_mode():
            for window, embedded in zip(windows, self._embed([w.samples for w in windows]), strict=True):
                clip = self._clips[window.row]
                clip.embedded[window.place] = embedded
                if len(clip.embedded) == len(clip.lengths):
                    self.results[window.row] = self._pooled(self._clips.pop(window.row))

    def _pooled(self, clip: _Clip) -> Array | str:
        parts = [clip.embedded[place] for place in range(len(clip.lengths))]
        reasons = [part for part in parts if isinstance(part, str)]
        tensors = [part for part in parts if isinstance(part, Tensor)]
        return reasons[0] if reasons else self._encoder.pool(torch.stack(tensors), clip.lengths).numpy()

    def _embed(self, windows: Sequence[Float[Tensor, " samples"]]) -> list[Float[Tensor, " dim"] | str]:
        """Runs the network; a batch that fails is halved until what fails is one window."""
        try:
            return list(self._encoder.embed_windows(torch.stack(list(windows))).to("cpu", torch.float32))
        except _FATAL:
            raise
        except (ValueError, RuntimeError, MemoryError) as error:
            exhausted = _out_of_memory(error)
            if len(windows) == 1:
                return [f"{self._encoder.block.name}: {_reason(error, len(windows[0]))}"]
        # Beyond the except: there the error's traceback would keep the tensors of the failed call alive.
        self.halved += exhausted
        if exhausted:
            torch.cuda.empty_cache()
        middle = len(windows) // 2
        return self._embed(windows[:middle]) + self._embed(windows[middle:])


def _out_of_memory(error: Exception) -> bool:
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(words in str(error) for words in ("out of memory", "can't allocate memory"))


def _reason(error: Exception, samples: int) -> str:
    if _out_of_memory(error):  # the libraries' own words differ from run to run
        return f"out of memory with a single window of {samples} samples"
    return (str(error) or type(error).__name__).splitlines()[0]
