"""DITTO on backbones of the published classes with tiny random weights, and runs that are killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from random_heads import random_checkpoint

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax.applications.batches import Batches
from tunejury_jax.applications.ditto.folder import DittoFolder, Start
from tunejury_jax.applications.ditto.network_digest import digest
from tunejury_jax.applications.ditto.optimisation import Ascent
from tunejury_jax.applications.ditto.run import Task, run_ditto
from tunejury_jax.applications.prompts import Prompt
from tunejury_jax.bridge.differentiable import DifferentiableScorer
from tunejury_jax.scorer import Scorer

pytestmark = [
    pytest.mark.slow(reason="diffusers takes seconds to import, and processes are started"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),  # of diffusers' imports
]

ROOT = Path(__file__).parents[3]
INSTRUMENTS = ("piano", "drums", "violin", "flute", "bass")
MOODS = ("calm", "loud", "sad", "bright")
STARTS = [
    Start(Prompt(f"{mood}-{instrument}", f"a {mood} {instrument}"), 42 + 100 * number)
    for number, (mood, instrument) in enumerate((m, i) for m in MOODS for i in INSTRUMENTS)
]


@pytest.fixture(scope="module")
def mel():
    stack = load_stack(["mel"], SignalPath())
    checkpoint = random_checkpoint({name: stack.provenance()[name] for name in stack.layout.names}, stack.layout.names)
    return DifferentiableScorer(checkpoint, stack), Scorer(checkpoint, stack)


@pytest.mark.parametrize(("name", "recipe"), [("tangoflux", "paper"), ("audioldm2-music", "own")])
def test_rewards_of_twenty_prompts_rise_and_weights_stay(mel, tmp_path, monkeypatch, name, recipe):
    from tests.tiny_generators import audioldm2, tangoflux
    from tunejury_jax.applications.generators.registry import load_generator

    {"tangoflux": tangoflux, "audioldm2-music": audioldm2}[name].write(tmp_path / "weights")
    generator = load_generator(name, recipe, steps=4, weights=tmp_path / "weights")
    weights = digest(generator.network)
    task = Task(generator, *mel, Ascent(), duration_s=0.5)
    outcomes = run_ditto(task, STARTS, DittoFolder(tmp_path / "out", task.identity()), Batches(5))
    assert digest(generator.network) == weights
    assert [each.error for each in outcomes] == [None] * 20
    assert all(len(each.rewards) == 6 and each.deviation < 1e-4 for each in outcomes)
    assert sum(each.gain > 0 for each in outcomes) >= 18


KILLED = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from noise_decoder import NoiseDecoder
from tests.tunejury_jax.applications.test_ditto_backbones import STARTS
from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from random_heads import random_checkpoint
from tunejury_jax.applications.batches import Batches
from tunejury_jax.applications.ditto.optimisation import Ascent
from tunejury_jax.applications.ditto.folder import DittoFolder
from tunejury_jax.applications.ditto.run import Task, run_ditto
from tunejury_jax.bridge.differentiable import DifferentiableScorer
from tunejury_jax.scorer import Scorer

stack = load_stack(["mel"], SignalPath())
checkpoint = random_checkpoint({name: stack.provenance()[name] for name in stack.layout.names}, stack.layout.names)
task = Task(NoiseDecoder(), DifferentiableScorer(checkpoint, stack), Scorer(checkpoint, stack), Ascent(2), 0.25)
run_ditto(task, STARTS, DittoFolder(Path(sys.argv[1]), task.identity()), Batches(2))
"""


def start(out):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    return subprocess.Popen([sys.executable, "-c", KILLED, str(out)], cwd=ROOT, env=environment, stderr=subprocess.PIPE)


def finished(out):
    return {path: path.stat().st_mtime_ns for path in out.glob("outcomes/*.json")}


def test_a_killed_run_goes_on_and_computes_nothing_again(tmp_path):
    killed = start(tmp_path)
    while killed.poll() is None and len(finished(tmp_path)) < 3:
        time.sleep(0.001)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    before = finished(tmp_path)
    assert 3 <= len(before) < 20
    again = start(tmp_path)
    _, told = again.communicate(timeout=60)
    assert again.returncode == 0, told.decode()
    after = finished(tmp_path)
    assert len(after) == 20
    assert {path: after[path] for path in before} == before
    assert len(list(tmp_path.glob("before/*.wav"))) == len(list(tmp_path.glob("after/*.wav"))) == 20
    assert not list(tmp_path.rglob(".*.partial"))
