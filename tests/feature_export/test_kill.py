"""`kill -9` of an export at random moments: the store is never wrong, and a rerun ends as an undisturbed run does.

A moment is drawn as a number of objects in the store, and some milliseconds: kills fall into planning, encoding and
sealing alike, on slow machines as on fast ones. Most runs are forks of a process that has imported everything but
used nothing yet (torch takes seconds to import); six are the real `python -m feature_export export`.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from audio_factory import BAD, clip_pairs, write_bad, write_clips
from store_factory import snapshot
from tiny_weights import clap

from tunejury_jax.store import FeatureStore, StoreError
from tunejury_jax.store.arrays import feature_array, open_array

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CLIPS = 24
BLOCK_ROWS = (1, 3, 16)
MAX_DELAY_S = 0.01
TIMEOUT_S = 60.0

FORKER = """
import json, os, sys
from pathlib import Path
from feature_export import commands
from feature_export.options import Running, Source

for line in sys.stdin:
    pairs, audio, out, block_rows = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        source = Source(pairs=Path(pairs), out=out, block_rows=block_rows)
        os._exit(commands.export(source, Running(audio_root=Path(audio))))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Exporter:
    """Runs exports, each in a process of its own that may be killed."""

    def __init__(self, data: Path) -> None:
        self.data = data
        command = [sys.executable, "-c", FORKER]
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        self.forker = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=null, text=True)

    def start(self, out: Path, block_rows: int) -> int:
        """Forks an export; returns its process id."""
        assert self.forker.stdin
        request = [str(self.data / "pairs.jsonl"), str(self.data / "audio"), str(out), block_rows]
        print(json.dumps(request), file=self.forker.stdin, flush=True)
        return self._answer()

    def wait(self) -> int:
        """Waits for the export to end; returns its exit status, negative for a signal."""
        return self._answer()

    def export(self, out: Path, block_rows: int) -> int:
        """Runs an export undisturbed."""
        self.start(out, block_rows)
        return self.wait()

    def _answer(self) -> int:
        assert self.forker.stdout
        return int(self.forker.stdout.readline())

    def command(self, out: Path, block_rows: int, *more: str) -> "subprocess.Popen[bytes]":
        """Starts `python -m feature_export export`."""
        source = ["--pairs", str(self.data / "pairs.jsonl"), "--audio-root", str(self.data / "audio")]
        command = [sys.executable, "-m", "feature_export", "export", *source, "--out", str(out)]
        return subprocess.Popen([*command, "--block-rows", str(block_rows), *more], cwd=ROOT, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    data = tmp_path_factory.mktemp("data")
    names = write_clips(data / "audio", CLIPS, seconds=0.1) + write_bad(data / "audio")
    clip_pairs(names, data / "pairs.jsonl", prompts=7)
    exporter = Exporter(data)
    with exporter.forker:
        yield exporter
    assert exporter.forker.returncode == 0


@pytest.fixture(scope="module")
def references(exporter: Exporter, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Stores that undisturbed runs made, by their number of rows a block."""
    made = {rows: tmp_path_factory.mktemp("reference") / "store" for rows in BLOCK_ROWS}
    for rows, out in made.items():
        assert exporter.export(out, rows) == 0
        assert len(FeatureStore.open_sealed(str(out)).failures("signal")) == len(BAD)
    return made


def objects(out: Path) -> int:
    """How many objects a store has; locks are none."""
    return sum(not name.endswith(".__lock") for _, _, names in os.walk(out) for name in names)


def kill_at(process: int, out: Path, count: int, delay_s: float) -> None:
    """Kills a process soon after the store has so many objects; one that has ended is a zombie, which is as well."""
    ends = time.monotonic() + TIMEOUT_S
    while objects(out) < count and time.monotonic() < ends:
        time.sleep(0.002)
    time.sleep(delay_s)
    os.kill(process, signal.SIGKILL)


def assert_nothing_unwritten_is_readable(out: Path, reference: Path) -> None:
    """What is there is what an undisturbed run writes, and what is not there cannot be read."""
    assert snapshot(out).items() <= snapshot(reference).items()
    if not (out / "store.json").exists():
        with pytest.raises(StoreError, match=r"no store\.json"):
            FeatureStore.open(str(out))
        return
    store, whole = FeatureStore.open(str(out)), FeatureStore.open_sealed(str(reference))
    for encoder in store.plan.encoders:
        _assert_committed_blocks_equal(store, whole, encoder)
        if store.pending(encoder):
            with pytest.raises(StoreError, match="blocks are not committed"):
                store.load(encoder)
        else:
            assert store.load(encoder).values.tobytes() == whole.load(encoder).values.tobytes()
    if store.sealed:
        assert store.verify() == whole.verify()
    else:
        with pytest.raises(StoreError, match="not sealed"):
            FeatureStore.open_sealed(str(out))


def _assert_committed_blocks_equal(store: FeatureStore, whole: FeatureStore, encoder: str) -> None:
    """Reads each committed block by itself, as a reader of an unfinished store would."""
    array, expected = open_array(store.root, feature_array(store.plan, encoder)), whole.load(encoder).values
    commits = {commit["block"]: commit for commit in whole.commits(encoder)}
    for commit in store.commits(encoder):
        low, high = store.bounds(encoder, commit["block"])
        assert array[low:high].read().result().tobytes() == expected[low:high].tobytes()
        assert commit == commits[commit["block"]]


class Moments:
    """Draws moments to kill at, between what a store has and what it will have."""

    def __init__(self, seed: int, reference: Path) -> None:
        self._random, self._all = random.Random(seed), objects(reference)

    def draw(self, out: Path) -> tuple[int, float]:
        there = objects(out)
        return self._random.randint(there, max(self._all - 1, there)), self._random.uniform(0.0, MAX_DELAY_S)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block_rows", BLOCK_ROWS)
def test_an_export_that_is_killed_goes_on_to_the_same_store(
    exporter: Exporter, references: dict[int, Path], tmp_path: Path, block_rows: int, seed: int
) -> None:
    out, reference, killed = tmp_path / "store", references[block_rows], 0
    moments = Moments(100 * block_rows + seed, reference)
    for _ in range(4):
        kill_at(exporter.start(out, block_rows), out, *moments.draw(out))
        killed += exporter.wait() == -signal.SIGKILL
        assert_nothing_unwritten_is_readable(out, reference)
    assert killed >= 3
    assert exporter.export(out, block_rows) == 0
    assert snapshot(out) == snapshot(reference)


def test_the_real_command_is_killed_and_goes_on(
    exporter: Exporter, references: dict[int, Path], tmp_path: Path
) -> None:
    outs = {rows: tmp_path / str(rows) for rows in BLOCK_ROWS}
    moments = {rows: Moments(1000 + rows, references[rows]) for rows in BLOCK_ROWS}

    def kill_one(block_rows: int) -> int:
        out = outs[block_rows]
        with exporter.command(out, block_rows) as process:
            kill_at(process.pid, out, *moments[block_rows].draw(out))
        assert_nothing_unwritten_is_readable(out, references[block_rows])
        return process.returncode

    with ThreadPoolExecutor(len(outs)) as pool:
        ends = [end for _ in range(2) for end in pool.map(kill_one, outs)]
    assert ends == [-signal.SIGKILL] * 6
    for rows, out in outs.items():
        assert exporter.export(out, rows) == 0
        assert snapshot(out) == snapshot(references[rows])


def test_an_export_with_worker_processes_is_killed_and_goes_on(
    exporter: Exporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path / "weights"))
    clap.write(tmp_path / "weights/clap")
    outs = [tmp_path / "killed", tmp_path / "undisturbed"]
    more = ("--encoders", "clap", "mel", "--workers", "2")
    with exporter.command(outs[0], 3, *more) as process:
        kill_at(process.pid, outs[0], 40, 0.0)
    assert process.returncode == -signal.SIGKILL
    assert FeatureStore.open(str(outs[0])).pending("clap_audio")
    for out in outs:
        with exporter.command(out, 3, *more) as process:
            assert process.wait(timeout=300) == 0
    assert snapshot(outs[0]) == snapshot(outs[1])
