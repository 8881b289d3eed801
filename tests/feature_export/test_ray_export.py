"""Export over Ray workers, which are killed, and whose driver is killed: the store is that of one quiet worker."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from audio_factory import clip_pairs, write_bad, write_clips
from store_factory import snapshot

from feature_export.audio import SignalPath
from feature_export.encoders import Compute, load_stack
from feature_export.export import Encoding, plan
from feature_export.ray_export import RayExport, pending_numbers
from tunejury_jax.pairs import read_pairs
from tunejury_jax.store import FeatureStore, seal_store

ROOT = Path(__file__).parents[2]
CLIPS, WORKERS = 40, 2
TIMEOUT_S = 150.0

pytestmark = [
    pytest.mark.slow(reason="Ray and its workers take seconds to start"),
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    names = write_clips(folder / "audio", CLIPS, seconds=0.1) + write_bad(folder / "audio")
    clip_pairs(names, folder / "pairs.jsonl", prompts=7)
    return folder


@pytest.fixture(scope="module")
def reference(data: Path) -> Path:
    """What one worker makes, undisturbed."""
    store = planned(data, data / "reference")
    Encoding(store, STACK, data / "audio").run()
    seal_store(store)
    return data / "reference"


STACK = load_stack(("mel",), SignalPath(), Compute("cpu", autocast=False))


def planned(data: Path, out: Path) -> FeatureStore:
    return plan(read_pairs(data / "pairs.jsonl"), STACK, str(out), 1)


class Run:
    """`python -m feature_export.ray_export` in a process group of its own."""

    def __init__(self, data: Path, out: Path, *options: str) -> None:
        self.out = out
        arguments = [str(out), "--audio-root", str(data / "audio"), "--workers", str(WORKERS), *options]
        command = [sys.executable, "-m", "feature_export.ray_export", *arguments]
        self.driver = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def end(self) -> tuple[int, str]:
        _, said = self.driver.communicate(timeout=TIMEOUT_S)
        return self.driver.returncode, said

    def wait_for(self, commits: int) -> None:
        ends = time.monotonic() + TIMEOUT_S
        while len(committed(self.out)) < commits and self.driver.poll() is None and time.monotonic() < ends:
            time.sleep(0.002)
        assert self.driver.poll() is None, self.end()

    def workers(self) -> list[int]:
        """Process ids of the Ray workers that this driver's cluster has."""
        return [pid for pid in descendants(self.driver.pid) if command_line(pid).startswith("ray::Worker")]

    def kill_driver(self) -> None:
        """Kills the driver and waits for its workers to go."""
        below = descendants(self.driver.pid)
        self.driver.kill()
        self.driver.communicate()
        ends = time.monotonic() + TIMEOUT_S
        while any(command_line(pid).startswith("ray::Worker") for pid in below) and time.monotonic() < ends:
            time.sleep(0.1)


def descendants(process: int) -> list[int]:
    parents = dict(_parents())
    below = [process]
    for pid in below:
        below += [child for child, parent in parents.items() if parent == pid]
    return below[1:]


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield int(folder.name), int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def committed(out: Path) -> dict[str, int]:
    """Each commit, and when it was written, in nanoseconds."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.glob("commits/*/*.json")}


def assert_equal(out: Path, reference: Path) -> None:
    seal_store(FeatureStore.open(str(out)))
    assert snapshot(out) == snapshot(reference)


def test_killed_workers_change_nothing(data: Path, reference: Path, tmp_path: Path) -> None:
    out, moments = tmp_path / "store", random.Random(0)
    planned(data, out)
    run, killed, before = Run(data, out), 0, dict[str, int]()
    for commits in sorted(moments.sample(range(2, 60), 3)):
        run.wait_for(commits)
        for worker in moments.sample(run.workers(), 1):
            before |= committed(out)
            os.kill(worker, signal.SIGKILL)
            killed += 1
    status, said = run.end()
    assert status == 0, said
    assert killed == 3
    assert committed(out).items() >= before.items()  # what was committed was not written again
    assert_equal(out, reference)


def test_a_killed_driver_leaves_a_store_that_goes_on(data: Path, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    planned(data, out)
    run = Run(data, out)
    run.wait_for(10)
    run.kill_driver()
    left, before = pending_numbers(FeatureStore.open(str(out))), committed(out)
    assert left
    assert snapshot(out).items() <= snapshot(reference).items()
    status, said = Run(data, out).end()
    assert status == 0, said
    assert f"Encoded {len(left)} blocks" in said  # the rest was not done again
    assert committed(out).items() >= before.items()
    assert_equal(out, reference)


def test_a_worker_that_cannot_work_says_why(data: Path, tmp_path: Path) -> None:
    planned(data, tmp_path / "store")
    status, said = Run(data, tmp_path / "store", "--audio-root", "/nowhere").end()
    assert status == 2
    assert said.strip().splitlines()[-1].endswith("a worker cannot work: audio_root: '/nowhere' is not a folder")


@pytest.mark.parametrize("field", ["workers", "threads"])
def test_options_that_are_none(tmp_path: Path, field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: got 0, expected at least 1"):
        RayExport(**{"store": "store", "audio_root": tmp_path, field: 0})
