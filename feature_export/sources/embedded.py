"""Clips stored inside parquet files (column `audio{path, bytes}`): checked, named, and written out where asked for."""

import hashlib
import re
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from feature_export.sources.rows import Row, missing_shards, once, read_rows
from tunejury_jax.documents import write_whole
from tunejury_jax.progress import progress

__all__ = ["Embedded", "EmbeddedClips", "read_embedded"]

MAX_CLIP_BYTES = 512 << 20
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Embedded(NamedTuple):
    """One clip: its file name below the extraction folder, and the other columns of its row."""

    name: str
    row: Row


class EmbeddedClips(NamedTuple):
    """The usable clips by key, and what was found.

    Attributes:
        clips: Key -> clip.
        counts: Rows, clips asked for, written, unusable.
    """

    clips: dict[str, Embedded]
    counts: dict[str, int]


def read_embedded(folder: Path, key: Callable[[Row], str], wanted: Collection[str], out: Path | None) -> EmbeddedClips:
    """Goes through the parquet files below a folder once.

    Args:
        folder: Holds the parquet files.
        key: Names the clip of a row.
        wanted: Keys of the clips that are needed; the others are passed over.
        out: Folder to write the clips to; None writes nothing. A clip that is there already is compared and kept.

    Raises:
        ValueError: No parquet file, a damaged one, a key that occurs twice, two clips that would get one file name,
            or a file of that name with other content.
    """
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise ValueError(f"{folder}: holds no parquet files")
    found = _Found(out)
    with progress("read clips", len(files), "files") as advance:
        for file in files:
            for row in read_rows(file):
                found.take(row, key(row), wanted)
            advance(1)
    counts = {"parquet parts missing": missing_shards(files), "audio rows": len(found.seen)}
    return EmbeddedClips(found.clips, counts | found.counts)


class _Found:
    """What the rows gave so far."""

    def __init__(self, out: Path | None) -> None:
        self._out = out
        self._names: dict[str, str] = {}
        self.seen: dict[str, str] = {}
        self.clips: dict[str, Embedded] = {}
        self.counts = {"clips not needed": 0, "clips unusable": 0, "clips written": 0, "clips found written": 0}

    def take(self, row: Row, key: str, wanted: Collection[str]) -> None:
        once(self.seen, "audio", key, row.where)
        content = _content(row)
        suffix = _suffix(content)
        if key not in wanted:
            self.counts["clips not needed"] += 1
        elif suffix is None:
            self.counts["clips unusable"] += 1
        else:
            name = _file_name(key, suffix)
            once(self._names, "audio file name", name.casefold(), row.where)
            self._write(name, content)
            rest = {column: value for column, value in row.values.items() if column != "audio"}
            self.clips[key] = Embedded(name, Row(row.where, rest))

    def _write(self, name: str, content: bytes) -> None:
        if self._out is None:
            return
        self._out.mkdir(parents=True, exist_ok=True)
        path = self._out / name
        self.counts["clips found written" if path.exists() else "clips written"] += 1
        if not path.exists():
            write_whole(path, content)
        elif path.stat().st_size != len(content) or path.read_bytes() != content:
            raise ValueError(f"{path}: holds another clip than the data set; delete it or choose another folder")


def _content(row: Row) -> bytes:
    audio = row.get("audio")
    if not isinstance(audio, dict) or "bytes" not in audio or not isinstance(audio["bytes"], bytes | None):
        raise ValueError(f"{row.where}: audio: expected a struct of path and bytes, got {type(audio).__name__}")
    content = audio["bytes"] or b""
    if len(content) > MAX_CLIP_BYTES:
        raise ValueError(f"{row.where}: audio: {len(content)} bytes, accepted are at most {MAX_CLIP_BYTES}")
    return content


def _suffix(content: bytes) -> str | None:
    """The file type by how the content begins; None where it is no audio. Paths may lie about it, or be absent."""
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return ".wav"
    for begin, suffix in ((b"fLaC", ".flac"), (b"OggS", ".ogg"), (b"ID3", ".mp3")):
        if content.startswith(begin):
            return suffix
    if content[4:8] == b"ftyp":
        return ".m4a"
    return _by_frame_header(content[:2])


def _by_frame_header(head: bytes) -> str | None:
    if len(head) < 2 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return ".aac"
    return ".mp3" if head[1] & 0x06 else None


def _file_name(key: str, suffix: str) -> str:
    """The key itself where it is a harmless name of the right type, else one made from it that no other key gets."""
    if _SAFE.fullmatch(key) and PurePosixPath(key).suffix.lower() in ("", suffix):
        return key if PurePosixPath(key).suffix else key + suffix
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "_", key).strip("_-")[-60:].strip("_-") or "clip"
    return f"{cleaned}-{hashlib.sha256(key.encode()).hexdigest()[:12]}{suffix}"
