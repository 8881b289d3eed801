"""A process that is asked by lines of JSON and answers by lines of JSON: with time limits, and leaving nothing behind.

The process leads a group of its own, so that what it started ends with it. Its standard error is read along, and its
end is quoted when something goes wrong.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tunejury_jax.documents import parse_object

__all__ = ["MAX_LINE_BYTES", "WorkerError", "WorkerGoneError", "WorkerProcess"]

MAX_LINE_BYTES = 1 << 15
"""Of a request or an answer; half of what a pipe holds, so that sending never waits."""

QUOTED = 300
TAIL_BYTES = 2000
CHUNK_BYTES = 1 << 16
GRACE_S = 2.0


class WorkerError(ChildProcessError):
    """A worker cannot be used, or has not made what it was asked for."""


class WorkerGoneError(WorkerError):
    """A worker died, or was killed because it took too long: another one may do."""


class WorkerProcess:
    """One running process.

    Args:
        name: For messages.
        command: Program and arguments; never read by a shell.
        folder: Where it runs.

    Raises:
        WorkerError: It cannot be started.
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self._name = name
        try:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerError(f"worker {name}: cannot start {list(command)} in {folder}: {error}") from error
        self._said, self._complained = b"", b""
        self._streams = [_pipe(self._process.stdout), _pipe(self._process.stderr)]
        # Also runs when the interpreter ends; one that is killed closes standard input, which ends a well-made worker.
        self._ending = weakref.finalize(self, _end, self._process)

    @property
    def alive(self) -> bool:
        """Whether it has not been ended."""
        return self._ending.alive

    def send(self, document: Mapping[str, Any]) -> None:
        """Sends a line.

        Raises:
            ValueError: It would be longer than `MAX_LINE_BYTES`.
            WorkerGoneError: The process has ended.
        """
        line = json.dumps(document).encode() + b"\n"
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"prompt: a request of {len(line)} bytes, accepted are at most {MAX_LINE_BYTES}")
        try:
            _pipe(self._process.stdin).write(line)
        except BrokenPipeError:
            raise self._gone() from None

    def receive(self, timeout_s: float | int) -> dict[str, Any]:
        """Waits for a line.

        Raises:
            WorkerGoneError: The process has ended, or took longer than `timeout_s` and was ended.
            WorkerError: It said something else than a JSON object, and was ended.
        """
        deadline = time.monotonic() + timeout_s
        try:
            while b"\n" not in self._said and len(self._said) <= MAX_LINE_BYTES:
                self._listen(deadline, timeout_s)
        except BaseException:  # an interrupt too: the next to ask would get this answer
            self.close()
            raise
        line, _, self._said = self._said.partition(b"\n")
        try:
            return parse_object(line, "its answer", MAX_LINE_BYTES)
        except ValueError:
            raise self.refused(f"expected one JSON object a line, got {_quoted(line)}") from None

    def refused(self, reason: str) -> WorkerError:
        """Ends the process; what to raise because of what it said."""
        self.close()
        return WorkerError(self._told(reason))

    def close(self) -> None:
        """Ends the process and all of its group."""
        self._ending()

    def _listen(self, deadline: float, timeout_s: float | int) -> None:
        """Reads what there is of either stream, or waits for it."""
        ready, _, _ = select.select(self._streams, [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise WorkerGoneError(self._told(f"no answer within {timeout_s:g} s, so it was ended"))
        for stream in ready:
            chunk = os.read(stream.fileno(), CHUNK_BYTES)
            if stream is self._process.stdout:
                if not chunk:
                    raise self._gone()
                self._said += chunk
            elif chunk:
                self._complained = (self._complained + chunk)[-TAIL_BYTES:]
            else:
                self._streams.remove(stream)

    def _gone(self) -> WorkerGoneError:
        _wait(self._process, GRACE_S)
        self._hear_out()
        self.close()
        return WorkerGoneError(self._told(f"ended with status {self._process.returncode}"))

    def _hear_out(self) -> None:
        """Reads what is left of standard error; a grandchild that holds it open is not waited for."""
        err = _pipe(self._process.stderr)
        os.set_blocking(err.fileno(), False)
        while chunk := err.read(CHUNK_BYTES):
            self._complained = (self._complained + chunk)[-TAIL_BYTES:]

    def _told(self, reason: str) -> str:
        tail = self._complained.decode(errors="replace").strip()
        return f"worker {self._name}: {reason}; its standard error " + (f"ends with:\n{tail}" if tail else "is empty")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks for the end by closing standard input, waits a little, and kills what is left of the group."""
    _pipe(process.stdin).close()
    _wait(process, GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        _pipe(stream).close()


def _wait(process: subprocess.Popen[bytes], limit_s: float) -> None:
    """Waits for the end without reaping: until then, nothing else can be given the number of its group."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.01)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # all three were asked for
    return stream


def _quoted(line: bytes) -> str:
    text = line[:QUOTED].decode(errors="replace")
    return repr(text) + (f" and {len(line) - QUOTED} bytes more" if len(line) > QUOTED else "")
