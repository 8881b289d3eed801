"""Workers that do as they should, and workers that die, hang, lie or babble; nothing is left running."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tunejury_jax.applications.generators import worker_process, workers
from tunejury_jax.applications.generators.protocol import Generator
from tunejury_jax.applications.generators.worker import WorkerError, WorkerGenerator, load_worker
from tunejury_jax.applications.generators.workers.serve import write_wav

SCRIPTS = Path(workers.__path__[0])
PYTHON = [sys.executable, "-S"]
HELLO = {
    "protocol": 1,
    "name": "bad",
    "sample_rate_hz": 8000,
    "channels": 1,
    "longest_s": 2.0,
    "provenance": {"weights": "none"},
}
PREAMBLE = f"""
import json, os, sys, time
def say(document): print(json.dumps(document), flush=True)
def asked(): return json.loads(sys.stdin.readline())
HELLO = {HELLO!r}
"""
GOOD = """
import array
def tone(request, rate=8000, channels=1, count=None, value=0.5):
    from serve import write_wav
    count = count or round(request["duration_s"] * 8000)
    write_wav(request["path"], array.array("f", [value] * (count * channels)).tobytes(), rate, channels)
def made(request): say({"id": request["id"], "path": request["path"]})
"""


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "GRACE_S", 0.3)


def described(folder: Path, script: str, **fields: object) -> Path:
    """The file of a worker that runs a script, with serve.py beside it."""
    shutil.copy(SCRIPTS / "serve.py", folder)
    (folder / "worker.py").write_text(PREAMBLE + GOOD + script, encoding="utf-8")
    file = folder / "worker.json"
    document = {"name": "bad", "command": [*PYTHON, "worker.py"], "start_timeout_s": 20, "clip_timeout_s": 20}
    file.write_text(json.dumps(document | fields), encoding="utf-8")
    return file


def serving(script: str) -> str:
    """A script that says hello and runs `script` on every request."""
    body = "\n".join(f"    {line}" for line in script.strip().splitlines())
    return f"say(HELLO)\nwhile True:\n    request = asked()\n{body}\n"


def is_running(pid: int) -> bool:
    """Whether a process computes; a zombie whose parent has not looked does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid: int, limit_s: float = 10.0) -> bool:
    deadline = time.monotonic() + limit_s
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


@pytest.fixture
def tone(tmp_path: Path):
    shutil.copytree(SCRIPTS, tmp_path / "workers")
    file = tmp_path / "workers" / "tone.json"
    file.write_text(json.dumps({"name": "tone", "command": [*PYTHON, "tone.py"]}))
    generator = load_worker(file)
    yield generator
    generator.close()


def test_the_example_makes_clips_that_follow_from_their_seed(tone):
    assert isinstance(tone, Generator)
    assert tone.sample_rate_hz == 16000
    together = tone.generate(["calm", "calm", "loud"], [1, 2, 1], 0.25)
    assert together.shape == (3, 1, 4000)
    assert together.dtype == torch.float32
    torch.testing.assert_close(tone.generate(["calm"], [2], 0.25), together[1:2], rtol=0, atol=0)
    assert not torch.equal(together[0], together[1])
    assert tone.provenance()["worker"] == {"weights": "none"}
    assert json.loads(json.dumps(tone.provenance())) == tone.provenance()


def test_a_closed_worker_starts_again_when_asked(tone):
    before = tone.generate(["calm"], [1], 0.1)
    tone.close()
    torch.testing.assert_close(tone.generate(["calm"], [1], 0.1), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("request_", "told"),
    [((["a"], [1, 2], 1.0), "one a prompt"), ((["a"], [-1], 1.0), "-1"), ((["a"], [1], 31.0), "up to 30 s")],
)
def test_what_cannot_be_made_is_refused_before_the_worker_is_asked(tone, request_, told):
    with pytest.raises(ValueError, match=told):
        tone.generate(*request_)


def test_a_prompt_that_would_not_fit_a_pipe_is_refused(tone):
    with pytest.raises(ValueError, match="prompt: a request of"):
        tone.generate(["a" * worker_process.MAX_LINE_BYTES], [1], 0.1)
    assert tone.generate(["a"], [1], 0.1).shape == (1, 1, 1600)


def test_no_clip_is_left_behind(tone, tmp_path):
    tone.generate(["a", "b"], [1, 2], 0.1)
    assert list(tone._clips.iterdir()) == []


@pytest.mark.parametrize("channels", [1, 2])
def test_wav_files_hold_the_samples_as_they_are(tmp_path, channels):
    samples = np.random.default_rng(0).normal(size=(57, channels)).astype(np.float32)
    write_wav(tmp_path / "a.wav", samples.tobytes(), 11025, channels)
    read, rate = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
    assert rate == 11025
    np.testing.assert_array_equal(read, samples)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"command": "python worker.py"}, "command: got 'python worker.py'"),
        ({"command": []}, "command"),
        ({"command": ["python", 3]}, "command"),
        ({"name": ""}, "name"),
        ({"clip_timeout_s": 0}, "clip_timeout_s: got 0"),
        ({"start_timeout_s": "long"}, "start_timeout_s"),
        ({"restarts": -1}, "restarts"),
        ({"timeout": 3}, "did you mean 'start_timeout_s'|field: got 'timeout'"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, untyped, change, told):
    with pytest.raises(ValueError, match=told) as caught:
        load_worker(described(tmp_path, "", **change))
    assert "worker.json" in str(caught.value)


def test_a_file_that_is_not_there_or_not_json_or_lacks_the_command(tmp_path):
    with pytest.raises(ValueError, match=r"no\.json is not there"):
        load_worker(tmp_path / "no.json")
    file = tmp_path / "half.json"
    file.write_text('{"name": ')
    with pytest.raises(ValueError, match="not JSON"):
        load_worker(file)
    file.write_text('{"name": "x"}')
    with pytest.raises(ValueError, match="command: not given"):
        load_worker(file)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("print('Loading weights...' * 100, flush=True)", r"one JSON object a line, got 'Loading weights.*bytes more"),
        ("print('[1, 2]', flush=True)", r"got '\[1, 2\]'"),
        ("say(HELLO | {'protocol': 2})", "not one of protocol 1: protocol: got 2"),
        ("say(HELLO | {'name': 'other'})", "name: got 'other'"),
        ("say(HELLO | {'sample_rate_hz': 44100.5})", "sample_rate_hz: got 44100.5"),
        ("say(HELLO | {'longest_s': float('nan')})", "longest_s"),
        ("say(HELLO | {'mood': 'good'})", "field: got 'mood'"),
        ("del HELLO['channels']; say(HELLO)", "channels: not given"),
        ("raise SystemExit('no GPU here')", r"ended with status 1.*\n?no GPU here"),
        ("sys.stdout.write('x' * 100000); sys.stdout.flush(); time.sleep(60)", "one JSON object a line"),
        ("os.close(1); time.sleep(60)", "ended with status -9"),
    ],
)
def test_a_bad_beginning(tmp_path, untyped, script, told):
    with pytest.raises(WorkerError, match=told) as caught:
        load_worker(described(tmp_path, script))
    assert len(str(caught.value)) < 4000


def test_a_worker_that_never_says_hello_or_cannot_be_started(tmp_path):
    with pytest.raises(WorkerError, match=r"no answer within 0.5 s"):
        load_worker(described(tmp_path, "time.sleep(60)", start_timeout_s=0.5))
    with pytest.raises(WorkerError, match="cannot start"):
        load_worker(described(tmp_path, "", command=["./no-such-program"]))


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("say({'id': request['id'], 'error': 'out of memory'})", "seed 3 and prompt 'a': out of memory"),
        ("tone(request, rate=16000); made(request)", "16000 Hz, its hello says 8000"),
        ("tone(request, channels=2); made(request)", "2 channels, its hello says 1"),
        ("tone(request, count=100); made(request)", "100 samples, asked for were 800"),
        ("tone(request, value=float('nan')); made(request)", "not finite"),
        ("made(request)", "cannot be read"),
        ("open(request['path'], 'w').write('no music'); made(request)", "cannot be read"),
        ("tone(request); say({'id': 99, 'path': request['path']})", "expected .* got .*99"),
        ("tone(request); say({'id': request['id'], 'path': '/etc/passwd'})", "expected .* got .*/etc/passwd"),
        ("print('step 1/25', flush=True)", "got 'step 1/25'"),
    ],
)
def test_a_bad_clip(tmp_path, untyped, script, told):
    generator = load_worker(described(tmp_path, serving(script)))
    with pytest.raises(WorkerError, match=told):
        generator.generate(["a"], [3], 0.1)
    generator.close()


def test_a_full_disk_is_told_and_the_worker_goes_on(tmp_path):
    script = """
    import resource
    from serve import serve
    def load():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        return lambda prompt, seed, duration_s: bytes(4 * round(8000 * duration_s))
    serve(load, "bad", 8000, 1, 2.0, {})
    """
    generator = load_worker(described(tmp_path, "\n".join(line[4:] for line in script.splitlines())))
    with pytest.raises(WorkerError, match=r"OSError.*too large"):
        generator.generate(["a"], [3], 1.0)
    assert generator._process.alive
    assert generator.generate(["a"], [3], 0.05).shape == (1, 1, 400)
    generator.close()


def test_a_clip_that_one_worker_dies_of_is_made_by_the_next(tmp_path):
    script = "if not os.path.exists('died'):\n    open('died', 'w'); os._exit(3)\ntone(request); made(request)"
    generator = load_worker(described(tmp_path, serving(script)))
    assert generator.generate(["a", "b"], [1, 2], 0.1).shape == (2, 1, 800)
    generator.close()


def test_a_clip_that_every_worker_dies_of_is_given_up(tmp_path):
    script = "open('deaths', 'a').write('x'); print('CUDA error', file=sys.stderr); os._exit(3)"
    generator = load_worker(described(tmp_path, serving(script), restarts=1))
    with pytest.raises(WorkerError, match=r"ended with status 3.*\n?CUDA error"):
        generator.generate(["a"], [1], 0.1)
    assert (tmp_path / "deaths").read_text() == "xx"


def test_a_worker_that_comes_back_as_another_one_is_refused(tmp_path):
    script = "HELLO['provenance'] = {'born': time.time()}\n" + serving("os._exit(3)")
    generator = load_worker(described(tmp_path, script))
    with pytest.raises(WorkerError, match="before it was started again"):
        generator.generate(["a"], [1], 0.1)


def test_a_worker_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    script = "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\nopen('child', 'w').write(str(child.pid))\n"
    generator = load_worker(described(tmp_path, script + serving("time.sleep(600)"), clip_timeout_s=0.3, restarts=0))
    worker = generator._process._process.pid
    child = int((tmp_path / "child").read_text())
    assert is_running(worker)
    assert is_running(child)
    with pytest.raises(WorkerError, match=r"no answer within 0.3 s"):
        generator.generate(["a"], [1], 0.1)
    assert ends(worker)
    assert ends(child)


def test_what_libraries_print_and_complain_of_does_not_disturb(tmp_path):
    script = """
from serve import serve
def load():
    print("Loading...")
    os.system("echo from a child")
    return make
def make(prompt, seed, duration_s):
    sys.stderr.write("progress " * 100000)
    return bytes(4 * round(8000 * duration_s))
serve(load, "bad", 8000, 1, 2.0, {})
"""
    generator = load_worker(described(tmp_path, script))
    assert generator.generate(["a"], [1], 0.1).abs().max() == 0
    generator.close()


def test_an_interrupt_does_not_leave_an_answer_to_the_next(tone, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(worker_process.select, "select", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tone.generate(["a"], [1], 0.1)
    assert tone.generate(["a"], [2], 0.1).shape == (1, 1, 1600)


# The module by itself: its package imports torch, which takes seconds.
PARENT = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("worker_process", {module!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
process = module.WorkerProcess("bad", {command!r}, Path({folder!r}))
process.receive(20)
process.send({{"id": 1, "prompt": "a", "seed": 1, "duration_s": 600, "path": "/dev/null"}})
print(process._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["killed", "ends"])
def test_a_worker_ends_with_the_process_that_started_it(tmp_path, how):
    script = "from serve import serve\nserve(lambda: lambda *_: time.sleep(600), 'bad', 8000, 1, 2.0, {})"
    described(tmp_path, script)
    code = PARENT.format(module=worker_process.__file__, command=[*PYTHON, "worker.py"], folder=str(tmp_path))
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdin is not None
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert is_running(worker)
    if how == "killed":
        os.kill(parent.pid, signal.SIGKILL)
    parent.stdin.close()
    parent.wait()
    parent.stdout.close()
    assert ends(worker)


def test_a_worker_generator_that_is_forgotten_ends_its_worker(tmp_path):
    generator = load_worker(described(tmp_path, serving("pass")))
    assert isinstance(generator, WorkerGenerator)
    worker, clips = generator._process._process.pid, generator._clips
    del generator
    assert ends(worker)
    assert not clips.exists()
