"""Who prepares clips: processes where a network listens, else threads.

Beside a network, Python's lock belongs to the network. Without one nobody needs the lock for long, and threads start
at once where a process imports torch for seconds. The processes come from a fork server, which has imported what they
need once, and neither JAX nor TensorStore, whose threads a fork would break. Samples move in shared memory, as torch
sends its tensors.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import BaseContext

import torch

from feature_export.preparation.clip import ClipFile, Preparation, Prepared

__all__ = ["Work", "one_thread", "processes", "threads"]

Work = Callable[[ClipFile], Prepared]


@contextmanager
def threads(preparation: Preparation, workers: int) -> Iterator[tuple[Executor, Work]]:
    """Starts threads; yields them and what to submit to them."""
    pool = ThreadPoolExecutor(workers)
    try:
        with one_thread():
            yield pool, preparation
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def processes(preparation: Preparation, workers: int) -> Iterator[tuple[Executor, Work]]:
    """Starts processes; yields them and what to submit to them."""
    pool = ProcessPoolExecutor(workers, _context(preparation), _start, (preparation,))
    try:
        yield pool, _prepare
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """A core a clip: torch's threads gain nothing on clips this short, and sums would depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _context(preparation: Preparation) -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *(type(framing).__module__ for framing in preparation.framings.values())])
    return context


_preparation: Preparation
"""Of a worker process: what it was started with."""


def _start(preparation: Preparation) -> None:
    global _preparation
    _preparation = preparation
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends its workers in order
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker waits for its queue for ever, also where a killed parent will never fill it again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _prepare(clip: ClipFile) -> Prepared:
    return _preparation(clip)
