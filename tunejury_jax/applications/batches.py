"""Work in batches as large as the memory allows."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

__all__ = ["Batches"]

T = TypeVar("T")
R = TypeVar("R")


class Batches:
    """Goes through items some at a time; a batch that does not fit the memory is halved, and no item is skipped.

    Attributes:
        size: Of a batch; what did not fit once is not tried again.
        halved: How often it was halved.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"batch: got {size}, expected at least 1")
        self.size, self.halved = size, 0

    def run(self, work: Callable[[Sequence[T]], R], items: Sequence[T]) -> Iterator[tuple[Sequence[T], R]]:
        """Yields each batch and what `work` made of it.

        Raises:
            torch.OutOfMemoryError: A single item does not fit.
        """
        start = 0
        while start < len(items):
            batch = items[start : start + self.size]
            try:
                made = work(batch)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
            else:
                yield batch, made
                start += len(batch)
                continue
            # Beyond the except: there the error's traceback would keep the tensors of the failed call alive.
            torch.cuda.empty_cache()
            self.size, self.halved = len(batch) // 2, self.halved + 1
