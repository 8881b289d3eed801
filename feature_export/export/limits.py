"""How much an export holds at once."""

from dataclasses import dataclass

__all__ = ["Limits"]

CPU_BATCH_S, GPU_BATCH_S = 20.0, 60.0
"""On a CPU a window or two keep every core busy, and more of them leave its cache (docs/scoring.md)."""


@dataclass(frozen=True)
class Limits:
    """Bounds of memory and of the work done at once.

    Attributes:
        workers: Processes that decode and resample ahead of the networks; 0 does it in this one.
        memory_bytes: Audio in flight: half for what is decoded ahead, half for windows that wait for others of their
            length. A clip that is larger by itself is decoded alone.
        batch_s: Seconds of audio that a network hears at once, or one window where that is longer; None for what
            suits its device. Whether rows are equal to the last bit depends on it, since sums are taken in another
            order.

    Raises:
        ValueError: One is negative, or leaves nothing to work with.
    """

    workers: int = 0
    memory_bytes: int = 2 << 30
    batch_s: float | None = None

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"workers: got {self.workers}, expected 0 or more")
        for field, value in (("memory_bytes", self.memory_bytes), ("batch_s", self.batch_s)):
            if value is not None and not value > 0:
                raise ValueError(f"{field}: got {value}, expected more than 0")

    def batch_on(self, device: str) -> float:
        """Seconds of audio in a batch of networks that run on this torch device."""
        return self.batch_s or (CPU_BATCH_S if device == "cpu" else GPU_BATCH_S)
