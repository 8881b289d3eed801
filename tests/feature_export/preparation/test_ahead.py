"""Clips prepared ahead: in order, within the memory, the same bits by any number of workers, and an end for all."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from audio_factory import BAD, RATE_HZ, noise, write_bad, write_clips, write_m4a

from feature_export.audio import SignalPath
from feature_export.encoders.mel import MelBaseline
from feature_export.encoders.muq.chunks import MuqFraming
from feature_export.encoders.signal import SignalFacts
from feature_export.preparation import ClipFile, Preparation, Prepared, ahead, prepare_ahead

ROOT = Path(__file__).parents[3]
PATH = SignalPath()
WHOLE = Preparation((SignalFacts(), MelBaseline(PATH)), {}, (24_000,))
FRAMED = Preparation((SignalFacts(),), {"muq_audio": MuqFraming(PATH)}, (24_000,))
PLENTY = 1 << 30


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[ClipFile]:
    root = tmp_path_factory.mktemp("audio")
    names = [*write_clips(root, 6, seconds=0.1), *write_bad(root)]
    return [ClipFile(root / name) for name in names]


def all_of(clips: list[ClipFile], preparation: Preparation, workers: int, memory_bytes: int = PLENTY) -> list[Prepared]:
    return list(prepare_ahead(clips, preparation, workers, memory_bytes))


def bits(prepared: Prepared) -> tuple[Any, ...]:
    embedded = {name: values.tobytes() for name, values in prepared.embedded.items()}
    windows = {name: (each.samples.numpy().tobytes(), each.lengths) for name, each in prepared.windows.items()}
    return prepared.audio_sha256, prepared.reason, prepared.peak, embedded, windows


@pytest.mark.parametrize("preparation", [WHOLE, FRAMED], ids=["whole", "framed"])
def test_workers_prepare_what_one_process_prepares(clips: list[ClipFile], preparation: Preparation) -> None:
    expected = all_of(clips, preparation, 0)
    assert [clip.reason is None for clip in expected] == [True] * 6 + [
        name == "bad/loud.wav" for name in BAD
    ]  # what is loud is refused later, by its embedding
    for found, wanted in zip(all_of(clips, preparation, 2), expected, strict=True):
        assert bits(found) == bits(wanted)


def test_torch_has_its_threads_again(clips: list[ClipFile]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for workers in (0, 2):
            with closing(prepare_ahead(clips[:3], WHOLE, workers, PLENTY)) as prepared:
                next(prepared)
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Reports(MuqFraming):
    """A framing that tells about its process."""

    def windows(self, wave: Any) -> Any:
        raise ValueError(repr([os.getpid(), torch.get_num_threads(), *(name in sys.modules for name in HEAVY)]))


HEAVY = ("jax", "flax", "tensorstore")


def test_workers_are_other_processes_with_one_thread_and_without_jax(tmp_path: Path) -> None:
    """As a command, since workers import this module's framing from its file."""
    soundfile.write(tmp_path / "a.wav", noise(0.1, 0), RATE_HZ)
    code = f"""
import os, sys
from pathlib import Path
from feature_export.audio import SignalPath
from feature_export.preparation import ClipFile, Preparation, prepare_ahead
from test_ahead import Reports
if __name__ == "__main__":
    preparation = Preparation((), {{"x": Reports(SignalPath())}}, (1,))
    (clip,) = prepare_ahead([ClipFile(Path({str(tmp_path / "a.wav")!r}))], preparation, 1, 1)
    pid, threads, *heavy = eval(clip.reason)
    print(pid != os.getpid(), threads, heavy)
"""
    (tmp_path / "main.py").write_text(code)
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, tmp_path / "main.py"],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "True 1 [False, False, False]\n", done.stderr


@contextmanager
def submissions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ClipFile]]:
    """Workers that are done at once; yields what they were given so far."""
    given: list[ClipFile] = []

    class Pool:
        def submit(self, work: Any, clip: ClipFile) -> "Future[Prepared]":
            given.append(clip)
            future: Future[Prepared] = Future()
            future.set_result(FRAMED(clip))
            return future

    @contextmanager
    def start(preparation: Preparation, workers: int) -> Iterator[tuple[Pool, None]]:
        yield Pool(), None

    monkeypatch.setattr(ahead, "processes", start)
    yield given


def test_no_more_is_prepared_than_the_memory_holds(clips: list[ClipFile], monkeypatch: pytest.MonkeyPatch) -> None:
    good = clips[:1] * 8  # 0.1 s each: 2400 samples at 24 kHz, twice that as MuQ hears it, 1600 in the file
    waits, prepares = 2 * 2400 * 4, (2400 + 1600) * 4
    with submissions(monkeypatch) as given:
        prepared = prepare_ahead(good, FRAMED, 1, 3 * waits + prepares)
        next(prepared)
        assert len(given) == 4
        next(prepared)
        assert len(given) == 5


def test_a_clip_beyond_the_memory_goes_alone(clips: list[ClipFile], monkeypatch: pytest.MonkeyPatch) -> None:
    with submissions(monkeypatch) as given:
        prepared = prepare_ahead(clips[:3], FRAMED, 1, 1)
        for number in (1, 2, 3):
            next(prepared)
            assert len(given) == number
        assert next(prepared, None) is None


def test_a_bounded_number_is_ahead(clips: list[ClipFile], monkeypatch: pytest.MonkeyPatch) -> None:
    with submissions(monkeypatch) as given:
        next(prepare_ahead(clips[:1] * 200, FRAMED, 1, PLENTY))
        assert len(given) == ahead.MAX_CLIPS_AHEAD


def test_what_a_clip_will_take_is_read_from_its_header(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(0.5, 0, channels=2), RATE_HZ)
    write_m4a(tmp_path / "a.m4a")
    (tmp_path / "text.wav").write_text("12345")
    rates, wav = (24_000, 48_000), tmp_path / "a.wav"
    assert ahead._expected_bytes(ClipFile(wav), rates) == 4 * 0.5 * (2 * RATE_HZ + 72_000)
    assert ahead._expected_bytes(ClipFile(wav, (0.1, 0.2)), rates) == 4 * 0.1 * (2 * RATE_HZ + 72_000)
    assert ahead._expected_bytes(ClipFile(tmp_path / "a.m4a"), rates) == 32 * (tmp_path / "a.m4a").stat().st_size
    assert ahead._expected_bytes(ClipFile(tmp_path / "text.wav"), rates) == 32 * 5
    for name in ("none.wav", "x" * 300, "a\0b", "."):
        assert ahead._expected_bytes(ClipFile(tmp_path / name), rates) == 0


def test_a_worker_that_is_killed_is_told(clips: list[ClipFile]) -> None:
    prepared = prepare_ahead(clips[:1] * 200, FRAMED, 1, PLENTY)
    next(prepared)
    workers = [child for child in multiprocessing.active_children() if "Fork" in type(child).__name__]
    for worker in workers:
        os.kill(worker.pid or 0, signal.SIGKILL)
    assert workers
    with pytest.raises(
        OSError, match=r"a worker process was killed at .*000\.wav or a clip near it: too little memory"
    ):
        list(prepared)


def test_who_stops_asking_ends_the_workers(clips: list[ClipFile]) -> None:
    with closing(prepare_ahead(clips[:1] * 200, FRAMED, 2, PLENTY)) as prepared:
        next(prepared)
        assert multiprocessing.active_children()
    ends = time.monotonic() + 30
    while multiprocessing.active_children() and time.monotonic() < ends:
        time.sleep(0.05)
    assert not multiprocessing.active_children()
