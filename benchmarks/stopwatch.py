"""Seconds that a program spends in some of its functions."""

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

__all__ = ["Stopwatch"]

Place = tuple[Any, str]
"""A class or module, and the name of one of its functions."""


class Stopwatch:
    """Seconds of every call of some functions, by the names they are given."""

    def __init__(self) -> None:
        self.calls: defaultdict[str, list[float]] = defaultdict(list)
        self.first_started: float | None = None
        self._inside = False

    @contextmanager
    def watching(self, places: Mapping[str, Place]) -> Iterator[None]:
        """Times functions until the block is left; what one of them calls counts as part of it."""
        with ExitStack() as stack:
            for name, (owner, attribute) in places.items():
                stack.enter_context(patch.object(owner, attribute, self._timed(name, getattr(owner, attribute))))
            yield

    def _timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(work)
        def timed(*arguments: Any, **options: Any) -> Any:
            if self._inside:
                return work(*arguments, **options)
            started, self._inside = time.perf_counter(), True
            if self.first_started is None:
                self.first_started = started
            try:
                return work(*arguments, **options)
            finally:
                self.calls[name].append(time.perf_counter() - started)
                self._inside = False

        return timed
