"""The static shape of a reward head, free of JAX so that command lines start at once."""

import itertools
from dataclasses import dataclass

__all__ = ["PAPER_WIDTHS", "HeadConfig"]

PAPER_WIDTHS = (1024, 512, 256, 128)
MAX_WIDTH = 1 << 16
MAX_LAYERS = 32


@dataclass(frozen=True)
class HeadConfig:
    """Width of the input and of each hidden layer.

    >>> HeadConfig(2048).parameter_count
    2791169
    """

    input_dim: int
    widths: tuple[int, ...] = PAPER_WIDTHS

    def __post_init__(self) -> None:
        if not 1 <= self.input_dim <= MAX_WIDTH:
            raise ValueError(f"input_dim: got {self.input_dim}, accepted are 1 to {MAX_WIDTH}")
        if not 1 <= len(self.widths) <= MAX_LAYERS or not all(1 <= width <= MAX_WIDTH for width in self.widths):
            raise ValueError(f"widths: got {self.widths}, accepted are 1 to {MAX_LAYERS} of 1 to {MAX_WIDTH}")

    @property
    def parameter_count(self) -> int:
        """Weights, biases and BatchNorm scales and shifts, as torch counts them."""
        sizes = (self.input_dim, *self.widths, 1)
        linear = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))
        return linear + 2 * sum(self.widths)
