"""Clips prepared ahead of the networks, in order, within a bound of memory.

`concurrent.futures` rather than a `DataLoader`: a loader looks ahead by a number of clips, which is no bound of memory
where one clip lasts a second and the next three hours.
"""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import soundfile

from feature_export.preparation.clip import ClipFile, Preparation, Prepared
from feature_export.preparation.workers import one_thread, processes, threads

__all__ = ["prepare_ahead"]

MAX_CLIPS_AHEAD = 64
"""Each holds a few file descriptors while it waits in shared memory."""

UNTOLD_EXPANSION = 32
"""Bytes of samples to a byte of a file whose header tells no length: of lossy files about the most."""

_SAMPLE_BYTES = 4


def prepare_ahead(
    clips: Iterable[ClipFile], preparation: Preparation, workers: int, memory_bytes: int
) -> Generator[Prepared, None, None]:
    """Yields the clips prepared, in their order, each by one thread of torch, so that no bit depends on the workers.

    Args:
        clips: May be many: looked at as they are needed.
        preparation: What is done with each.
        workers: Processes or threads; 0 prepares each clip when it is asked for.
        memory_bytes: Of clips in preparation, by what their headers promise, and of those that wait. A clip that is
            larger than this is prepared while no other one is.

    Raises:
        OSError: A worker was killed.
    """
    if workers:
        yield from _by_workers(clips, preparation, workers, memory_bytes)
        return
    for clip in clips:
        with one_thread():
            prepared = preparation(clip)
        yield prepared


def _by_workers(
    clips: Iterable[ClipFile], preparation: Preparation, workers: int, memory_bytes: int
) -> Generator[Prepared, None, None]:
    start = processes if preparation.framings else threads
    ahead: deque[_Ahead] = deque()
    with start(preparation, workers) as (pool, work):
        for clip in clips:
            expected = _expected_bytes(clip, preparation.rates_hz)
            while ahead and (len(ahead) >= MAX_CLIPS_AHEAD or expected + sum(map(_Ahead.nbytes, ahead)) > memory_bytes):
                yield ahead.popleft().take()
            ahead.append(_Ahead(clip, pool.submit(work, clip), expected))
        while ahead:
            yield ahead.popleft().take()


class _Ahead:
    """A clip on its way."""

    def __init__(self, clip: ClipFile, future: "Future[Prepared]", expected: int) -> None:
        self._clip, self._future, self._expected = clip, future, expected

    def nbytes(self) -> int:
        """What it holds; while it is prepared, what it is expected to hold at most."""
        done = self._future.done() and not self._future.exception()
        return self._future.result().nbytes if done else self._expected

    def take(self) -> Prepared:
        """Waits for it, and takes it out of the shared memory."""
        try:
            clip = self._future.result()
        except BrokenProcessPool as error:
            raise OSError(
                f"a worker process was killed at {self._clip.path} or a clip near it: too little memory or shared "
                "memory (lower --workers or --memory-mib), or a file that crashes its decoder (--workers 0 shows it)"
            ) from error
        windows = {name: each._replace(samples=each.samples.clone()) for name, each in clip.windows.items()}
        return clip._replace(windows=windows)


def _expected_bytes(clip: ClipFile, rates_hz: Iterable[int]) -> int:
    """Of a clip while it is prepared: as decoded, and as mono samples at each encoder's rate."""
    try:
        if not clip.path.is_file():
            return 0
        told = soundfile.info(clip.path)
    except (OSError, soundfile.SoundFileError):
        return _file_bytes(clip) * UNTOLD_EXPANSION
    begin_s, end_s = clip.span_s or (0.0, told.duration)
    return int((end_s - begin_s) * (told.samplerate * told.channels + sum(rates_hz)) * _SAMPLE_BYTES)


def _file_bytes(clip: ClipFile) -> int:
    try:
        return clip.path.stat().st_size
    except OSError:
        return 0
