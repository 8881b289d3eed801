"""A generator in an environment of its own: a process that is asked for clips and writes them as wav files.

What the process says and hears is told in `workers/serve.py`, which is all that it needs of this project.
"""

import math
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile
import torch
from jaxtyping import Float

from tunejury_jax.applications.generators.protocol import Waves
from tunejury_jax.applications.generators.requests import check_request, sample_count
from tunejury_jax.applications.generators.worker_process import WorkerError, WorkerGoneError, WorkerProcess
from tunejury_jax.documents import read_object
from tunejury_jax.errors import one_of

__all__ = ["WorkerConfig", "WorkerError", "WorkerGenerator", "load_worker", "read_worker"]

PROTOCOL = 1
MAX_BYTES = 1 << 16
MAX_ERROR = 2000


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker's file says.

    Attributes:
        name: Of the generator, as the worker says it too.
        command: Program and arguments; runs in the folder of the file, without a shell.
        start_timeout_s: Until it says hello: its model is loaded then.
        clip_timeout_s: For one clip.
        restarts: How often it is started again for one clip that it dies of, or takes too long for.

    Raises:
        ValueError: A value of another type, or out of range.
    """

    name: str
    command: tuple[str, ...]
    start_timeout_s: float | int = 600
    clip_timeout_s: float | int = 600
    restarts: int = 2

    def __post_init__(self) -> None:
        _check("name", self.name, isinstance(self.name, str) and self.name != "", "a text")
        words = isinstance(self.command, tuple) and all(isinstance(word, str) for word in self.command)
        _check("command", self.command, words and self.command != (), "program and arguments, a list of texts")
        for field in ("start_timeout_s", "clip_timeout_s"):
            _check(field, getattr(self, field), _is_positive(getattr(self, field)), "seconds above 0")
        _check("restarts", self.restarts, type(self.restarts) is int and self.restarts >= 0, "0 and more")


@dataclass(frozen=True)
class Hello:
    """What a worker says first."""

    protocol: int
    name: str
    sample_rate_hz: int
    channels: int
    longest_s: float | int
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        _check("protocol", self.protocol, self.protocol == PROTOCOL, str(PROTOCOL))
        _check("sample_rate_hz", self.sample_rate_hz, _is_count(self.sample_rate_hz), "a whole number above 0")
        _check("channels", self.channels, _is_count(self.channels), "a whole number above 0")
        _check("longest_s", self.longest_s, _is_positive(self.longest_s), "seconds above 0")
        _check("provenance", self.provenance, isinstance(self.provenance, dict), "an object")


def load_worker(file: Path) -> "WorkerGenerator":
    """Starts the worker that a JSON file describes.

    Args:
        file: An object with the attributes of `WorkerConfig`.

    Raises:
        ValueError: The file is not there or says something else.
        WorkerError: The worker does not start, or says something else than its hello.
    """
    return WorkerGenerator(read_worker(file), file.parent)


def read_worker(file: Path) -> WorkerConfig:
    """What a worker's file says; see `load_worker`."""
    if not file.is_file():
        raise ValueError(f"generator: {file} is not there")
    document = read_object(file, MAX_BYTES)
    if isinstance(document.get("command"), list):
        document["command"] = tuple(document["command"])
    try:
        return _filled(WorkerConfig, document)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


class WorkerGenerator:
    """Clips from a process of its own, one after another; see the protocol `Generator`.

    Args:
        config: What to run.
        folder: Where.

    Raises:
        WorkerError: It does not start, or says something else than its hello.
    """

    def __init__(self, config: WorkerConfig, folder: Path) -> None:
        self._config = config
        self._folder = folder.resolve()
        self._asked = 0
        self._process, self._hello = self._start()
        self._clips = Path(tempfile.mkdtemp(prefix="tunejury-worker-"))
        weakref.finalize(self, shutil.rmtree, self._clips, ignore_errors=True)
        self.name = config.name
        self.sample_rate_hz = self._hello.sample_rate_hz

    def provenance(self) -> Mapping[str, Any]:
        """The command, and what the worker says of itself."""
        command = list(self._config.command)
        return {"generator": self.name, "command": command, "worker": dict(self._hello.provenance)}

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], duration_s: float) -> Waves:
        """One clip a prompt; see `Generator`.

        Raises:
            ValueError: What is asked for cannot be made.
            WorkerError: A clip was not made, or is not what it should be. A worker that was ended because of it is
                started again by the next call.
        """
        check_request(prompts, seeds, duration_s, self._hello.longest_s)
        clips = [self._clip(prompt, seed, duration_s) for prompt, seed in zip(prompts, seeds, strict=True)]
        return torch.from_numpy(np.stack(clips))

    def close(self) -> None:
        """Ends the process; it is started again when clips are asked for."""
        self._process.close()

    def _start(self) -> tuple[WorkerProcess, Hello]:
        process = WorkerProcess(self._config.name, self._config.command, self._folder)
        said = process.receive(self._config.start_timeout_s)
        try:
            hello = _filled(Hello, said)
            one_of("name", hello.name, (self._config.name,))
        except ValueError as error:
            raise process.refused(f"its hello is not one of protocol {PROTOCOL}: {error}") from error
        return process, hello

    def _clip(self, prompt: str, seed: int, duration_s: float) -> Float[np.ndarray, "channels samples"]:
        """A clip; where the process dies of it, another one tries."""
        for _ in range(self._config.restarts):
            try:
                return self._ask(prompt, seed, duration_s)
            except WorkerGoneError:
                continue
        return self._ask(prompt, seed, duration_s)

    def _ask(self, prompt: str, seed: int, duration_s: float) -> Float[np.ndarray, "channels samples"]:
        process = self._running()
        self._asked += 1
        path = self._clips / f"{self._asked}.wav"
        made = {"id": self._asked, "path": str(path)}
        try:
            process.send({**made, "prompt": prompt, "seed": seed, "duration_s": duration_s})
            answer = process.receive(self._config.clip_timeout_s)
            if answer.keys() == {"id", "error"} and answer["id"] == self._asked:
                told = str(answer["error"])[:MAX_ERROR]
                raise WorkerError(f"worker {self.name}: no clip of seed {seed} and prompt {prompt!r}: {told}")
            if answer != made:
                raise process.refused(f"expected {made} or an error, got {answer}")
            return self._read(path, duration_s)
        finally:
            path.unlink(missing_ok=True)

    def _running(self) -> WorkerProcess:
        if not self._process.alive:
            self._process, hello = self._start()
            if hello != self._hello:
                raise self._process.refused(f"it says {hello}, before it was started again {self._hello}")
        return self._process

    def _read(self, path: Path, duration_s: float) -> Float[np.ndarray, "channels samples"]:
        """The clip in a file, checked and cut."""
        wanted = sample_count(duration_s, self.sample_rate_hz)
        try:
            clip, rate_hz = soundfile.read(path, frames=wanted, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise WorkerError(f"worker {self.name}: its clip cannot be read: {error}") from error
        problems = {
            f"{rate_hz} Hz, its hello says {self.sample_rate_hz}": rate_hz != self.sample_rate_hz,
            f"{clip.shape[1]} channels, its hello says {self._hello.channels}": clip.shape[1] != self._hello.channels,
            f"{len(clip)} samples, asked for were {wanted}": len(clip) < wanted,
            "samples that are not finite": not np.isfinite(clip).all(),
        }
        found = [problem for problem, there in problems.items() if there]
        if found:
            raise WorkerError(f"worker {self.name}: its clip has {'; '.join(found)}")
        return np.ascontiguousarray(clip.T)


T = TypeVar("T", WorkerConfig, Hello)


def _filled(kind: type[T], document: Mapping[str, Any]) -> T:
    """An instance of a dataclass from a JSON object; refuses fields that are missing or that it does not have."""
    known = {field.name: field for field in fields(kind)}
    for key in document:
        one_of("field", key, tuple(known))
    missing = [name for name, field in known.items() if name not in document and field.default is MISSING]
    if missing:
        raise ValueError(f"{', '.join(missing)}: not given")
    return kind(**document)


def _check(field: str, value: object, holds: bool, accepted: str) -> None:
    if not holds:
        raise ValueError(f"{field}: got {value!r}, accepted: {accepted}")


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_count(value: object) -> bool:
    return isinstance(value, int) and _is_positive(value)
