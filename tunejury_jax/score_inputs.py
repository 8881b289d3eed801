"""What `tunejury score` is pointed at: files, folders, patterns, a list on standard input, manifests."""

import glob
import math
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tunejury_jax.documents import parse_object
from tunejury_jax.errors import one_of
from tunejury_jax.score_files import AudioFile, find_audio

__all__ = ["find_inputs", "read_manifest"]

FIELDS = {"path": str, "prompt": str, "start_s": (int, float), "end_s": (int, float), "id": str}
MAX_LINE = 1 << 20


def find_inputs(inputs: Sequence[str], suffixes: Collection[str]) -> tuple[list[AudioFile], int]:
    """Lists the files to score, and counts what was passed over.

    Args:
        inputs: Files; folders, searched in depth; patterns with `*`, `?`, `[...]` and `**`; manifests (`.jsonl`);
            `-` for a list of such names on standard input, one a line.
        suffixes: Of audio, lower case, with the dot.

    Returns:
        The files in the order of the inputs, and the number of other files in folders and under patterns.

    Raises:
        ValueError: There is no input, a folder or pattern has no audio, or a manifest cannot be read.
    """
    found = [_found(name, suffixes) for name in _names(inputs)]
    if not found:
        raise ValueError("inputs: expected at least one file, folder, pattern or manifest")
    return [file for files, _ in found for file in files], sum(passed_over for _, passed_over in found)


def _names(inputs: Iterable[str]) -> Iterator[str]:
    for name in inputs:
        if name == "-":
            yield from filter(None, (line.rstrip("\r\n") for line in sys.stdin))
        else:
            yield name


def _found(name: str, suffixes: Collection[str]) -> tuple[list[AudioFile], int]:
    path = Path(name)
    if path.suffix.lower() == ".jsonl":
        return list(read_manifest(path)), 0
    if path.exists() or not glob.has_magic(name):
        return find_audio([path], suffixes)
    matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
    files = [match for match in matches if match.is_file()]
    audio = [AudioFile(match.as_posix(), match) for match in files if match.suffix.lower() in suffixes]
    if not audio:
        raise ValueError(f"inputs: pattern {name!r} matches no audio, accepted are {', '.join(sorted(suffixes))}")
    return audio, len(files) - len(audio)


def read_manifest(path: Path) -> Iterator[AudioFile]:
    """Reads clips, one JSON object a line: `path` (relative to the manifest), and where wanted `prompt`, `start_s`,
    `end_s` and `id`.

    Raises:
        ValueError: The file is missing or holds no clip, or a line is not such an object; names the line.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file, expected a manifest")
    empty = True
    with path.open("rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE + 1), b""), 1):
            if line.strip():
                empty = False
                yield _clip(path, f"{path}:{number}", line)
    if empty:
        raise ValueError(f"{path}: holds no clip")


def _clip(manifest: Path, where: str, line: bytes) -> AudioFile:
    fields = _object(where, line)
    for name, value in fields.items():
        if not isinstance(value, FIELDS[one_of(f"{where}: field", name, tuple(FIELDS))]) or isinstance(value, bool):
            raise ValueError(
                f"{where}: {name}: got {value!r}, expected {'a text' if FIELDS[name] is str else 'seconds'}"
            )
    if not fields.get("path") or "\0" in fields["path"]:
        raise ValueError(f"{where}: path: got {fields.get('path')!r}, expected that of an audio file")
    own = fields.get("id", fields["path"])
    return AudioFile(own, manifest.parent / fields["path"], fields.get("prompt"), _span(where, fields))


def _object(where: str, line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE:
        raise ValueError(f"{where}: more than {MAX_LINE} bytes in a line")
    # None is how tables say that there is nothing.
    return {name: value for name, value in parse_object(line, where, MAX_LINE).items() if value is not None}


def _span(where: str, fields: dict[str, Any]) -> tuple[float, float] | None:
    start_s, end_s = fields.get("start_s"), fields.get("end_s")
    if start_s is None and end_s is None:
        return None
    if end_s is None or not 0 <= (start_s or 0.0) < end_s < math.inf:
        raise ValueError(f"{where}: start_s, end_s: got {start_s} and {end_s}, expected 0 <= start_s < end_s")
    return float(start_s or 0.0), float(end_s)
