"""Where and in what precision the networks of the encoders run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from tunejury_jax.errors import one_of

__all__ = ["DEVICES", "Compute"]

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Compute:
    """How a network is run.

    Attributes:
        device: A torch device, `cpu`, `cuda` or `cuda:1`.
        autocast: Matrix products in bfloat16, which changes the features: it is part of the provenance.

    Raises:
        ValueError: Another device, or one that this machine does not have.
    """

    device: str = "cpu"
    autocast: bool = False

    def __post_init__(self) -> None:
        kind, _, index = self.device.partition(":")
        one_of("device", kind, DEVICES)
        devices = torch.cuda.device_count() if kind == "cuda" else 1
        if not (index or "0").isdecimal() or int(index or 0) >= devices:
            raise ValueError(f"device: got {self.device!r}, this machine has {torch.cuda.device_count()} GPUs")

    @classmethod
    def best(cls, autocast: bool = False) -> "Compute":
        """The GPU where there is one."""
        return cls("cuda" if torch.cuda.is_available() else "cpu", autocast)

    @property
    def dtype(self) -> str:
        """As it stands in the provenance."""
        return "bfloat16 autocast" if self.autocast else "float32"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Surrounds every call of a network: float32 is whole float32, on every device."""
        # cuDNN's convolutions round to TF32 unless told otherwise.
        exact = torch.backends.cudnn.flags(allow_tf32=False)
        with exact, torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.autocast):
            yield
