"""Clips inside parquet: written whole, under harmless names, once; and every bad one counted or refused."""

import re
from pathlib import Path
from typing import Any

import pytest
from published_labels import sound, write_embedded

from feature_export.audio import load
from feature_export.sources import embedded
from feature_export.sources.embedded import EmbeddedClips, read_embedded
from feature_export.sources.rows import Row

FORMATS = {"WAV": ".wav", "FLAC": ".flac", "OGG": ".ogg", "MP3": ".mp3"}


def row(key: str, content: bytes | None) -> dict[str, Any]:
    return {"id": key, "audio": {"path": key, "bytes": content}}


def read(folder: Path, wanted: set[str], out: Path | None) -> EmbeddedClips:
    return read_embedded(folder, lambda found: found.text("id"), wanted, out)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_wanted_is_written_as_it_is(tmp_path: Path) -> None:
    contents = {f"clip {n}.wav": sound(n) for n in range(5)}
    write_embedded(tmp_path / "in", [row(*item) for item in contents.items()], parts=2)
    found = read(tmp_path / "in", {"clip 1.wav", "clip 3.wav", "absent.wav"}, tmp_path / "out")
    assert found.clips.keys() == {"clip 1.wav", "clip 3.wav"}
    assert names(tmp_path / "out") == {clip.name for clip in found.clips.values()}
    for key, clip in found.clips.items():
        assert (tmp_path / "out" / clip.name).read_bytes() == contents[key]
        assert clip.row.values == {"id": key}
    assert found.counts == {
        "parquet parts missing": 0,
        "audio rows": 5,
        "clips not needed": 3,
        "clips unusable": 0,
        "clips written": 2,
        "clips found written": 0,
    }


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    write_embedded(tmp_path / "in", [row("a.wav", sound(0))])
    assert read(tmp_path / "in", {"a.wav"}, None).clips["a.wav"].name == "a.wav"
    assert names(tmp_path) == {"in"}


@pytest.mark.parametrize(("format", "suffix"), FORMATS.items())
def test_the_type_comes_from_the_content(tmp_path: Path, format: str, suffix: str) -> None:
    write_embedded(tmp_path / "in", [row(key, sound(0, 0.5, format)) for key in ("00007", "x.m4a")])
    clips = read(tmp_path / "in", {"00007", "x.m4a"}, tmp_path / "out").clips
    assert clips["00007"].name == f"00007{suffix}"
    assert clips["x.m4a"].name.endswith(suffix)
    assert all(load(tmp_path / "out" / clip.name).samples.numel() for clip in clips.values())


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (b"\xff\xfb\x90\x00", ".mp3"),
        (b"\xff\xf3\x90\x00", ".mp3"),
        (b"\xff\xf1\x50\x80", ".aac"),
        (b"\0\0\0\x20ftypM4A ", ".m4a"),
        (b"\xff\xe1\x00", None),
        (b"RIFF\0\0\0\0AVI ", None),
        (b"\xff", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_how_a_type_is_known(head: bytes, suffix: str | None) -> None:
    assert embedded._suffix(head) == suffix


UNSAFE = [
    "../../etc/x.wav",
    "/abs/x.wav",
    "a/b.wav",
    "a b.wav",
    ".hidden.wav",
    "-rf.wav",
    "x\0.wav",
    "ü.wav",
    "..",
    "x" * 300,
]


def test_names_stay_in_the_folder_and_apart(tmp_path: Path) -> None:
    write_embedded(tmp_path / "in", [row(key, sound(n)) for n, key in enumerate([*UNSAFE, "a_b.wav"])])
    clips = read(tmp_path / "in", {*UNSAFE, "a_b.wav"}, tmp_path / "out").clips
    found = {clip.name for clip in clips.values()}
    assert names(tmp_path) == {"in", "out"}
    assert names(tmp_path / "out") == found
    assert len(found) == len(UNSAFE) + 1
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{,99}\.wav", name) for name in found)
    assert clips["a_b.wav"].name == "a_b.wav"


def test_a_second_run_finds_what_the_first_wrote(tmp_path: Path) -> None:
    write_embedded(tmp_path / "in", [row("a.wav", sound(0)), row("b.wav", sound(1))])
    read(tmp_path / "in", {"a.wav"}, tmp_path / "out")
    (tmp_path / "out" / ".b.wav.partial").write_bytes(b"half of it")
    written = (tmp_path / "out" / "a.wav").stat().st_mtime_ns
    counts = read(tmp_path / "in", {"a.wav", "b.wav"}, tmp_path / "out").counts
    assert (counts["clips written"], counts["clips found written"]) == (1, 1)
    assert (tmp_path / "out" / "a.wav").stat().st_mtime_ns == written
    assert names(tmp_path / "out") == {"a.wav", "b.wav"}


@pytest.mark.parametrize("other", [sound(1), sound(0)[:-1], b""])
def test_a_file_with_other_content_is_not_overwritten(tmp_path: Path, other: bytes) -> None:
    write_embedded(tmp_path / "in", [row("a.wav", sound(0))])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.wav").write_bytes(other)
    with pytest.raises(ValueError, match=r"out/a\.wav: holds another clip than the data set"):
        read(tmp_path / "in", {"a.wav"}, tmp_path / "out")
    assert (tmp_path / "out" / "a.wav").read_bytes() == other


@pytest.mark.parametrize("content", [None, b"", b"not a sound"])
def test_what_is_no_audio_is_counted(tmp_path: Path, content: bytes | None) -> None:
    write_embedded(tmp_path / "in", [row("a.wav", content), row("b.wav", sound(0))])
    found = read(tmp_path / "in", {"a.wav", "b.wav"}, tmp_path / "out")
    assert found.clips.keys() == {"b.wav"}
    assert found.counts["clips unusable"] == 1


def test_parts_that_are_missing_are_counted(tmp_path: Path) -> None:
    write_embedded(tmp_path / "in", [row(str(n), sound(n)) for n in range(6)], parts=3)
    (tmp_path / "in" / "train-00001-of-00003.parquet").unlink()
    counts = read(tmp_path / "in", {"0"}, None).counts
    assert (counts["parquet parts missing"], counts["audio rows"]) == (1, 4)


def test_a_clip_that_occurs_twice(tmp_path: Path) -> None:
    write_embedded(tmp_path / "in", [row("a.wav", sound(0)), row("a.wav", sound(0))])
    with pytest.raises(ValueError, match=r"row 2: audio: 'a\.wav' occurs twice, first in .*, row 1$"):
        read(tmp_path / "in", set(), None)


def test_names_that_some_file_systems_take_for_one(tmp_path: Path) -> None:
    write_embedded(tmp_path / "in", [row("A.wav", sound(0)), row("a.wav", sound(1))])
    with pytest.raises(ValueError, match=r"row 2: audio file name: 'a\.wav' occurs twice"):
        read(tmp_path / "in", {"a.wav", "A.wav"}, tmp_path / "out")


def test_a_clip_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_embedded(tmp_path / "in", [row("a.wav", sound(0))])
    monkeypatch.setattr(embedded, "MAX_CLIP_BYTES", 10)
    with pytest.raises(ValueError, match=r"row 1: audio: \d+ bytes, accepted are at most 10$"):
        read(tmp_path / "in", set(), None)


@pytest.mark.parametrize("values", [{"id": "a"}, {"id": "a", "audio": b"RIFF"}, {"id": "a", "audio": {"path": "a"}}])
def test_audio_in_another_layout(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^here: audio: (missing, got only|expected a struct of path and bytes)"):
        embedded._content(Row("here", values))


def test_a_folder_without_parquet(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no parquet files"):
        read(tmp_path, set(), None)
