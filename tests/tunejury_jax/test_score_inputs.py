"""What `tunejury score` is pointed at: every kind of input, and what is refused."""

import io
import json
import re
from pathlib import Path

import pytest

from tunejury_jax.score_files import AudioFile
from tunejury_jax.score_inputs import MAX_LINE, find_inputs, read_manifest

SUFFIXES = (".wav", ".mp3")


@pytest.fixture
def music(tmp_path, monkeypatch):
    for name in ("b.wav", "a.mp3", "deep/er/c.wav", "deep/notes.txt", "song [live].wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ids(*inputs):
    files, passed_over = find_inputs(inputs, SUFFIXES)
    return [file.id for file in files], passed_over


def test_files_folders_and_patterns_keep_their_order(music):
    assert ids("b.wav", "deep", "*.mp3") == (["b.wav", "er/c.wav", "a.mp3"], 1)


def test_a_pattern_goes_into_depth_and_counts_what_is_no_audio(music):
    assert ids("deep/**/*") == (["deep/er/c.wav"], 1)
    assert ids("[ab].*") == (["a.mp3", "b.wav"], 0)


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(music):
    assert ids("song [live].wav") == (["song [live].wav"], 0)


def test_a_list_on_standard_input_may_name_all_of_these(music, monkeypatch):
    Path("list.jsonl").write_text('{"path": "b.wav"}\n')
    monkeypatch.setattr("sys.stdin", io.StringIO("b.wav\r\n\n*.mp3\ndeep\nlist.jsonl\nnone.wav"))
    assert ids("-") == (["b.wav", "a.mp3", "er/c.wav", "b.wav", "none.wav"], 1)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), "inputs: expected at least one file, folder, pattern or manifest"),
        (("deep/*.mp3",), r"inputs: pattern 'deep/\*.mp3' matches no audio, accepted are .mp3, .wav"),
        (("deep/*.txt",), r"inputs: pattern .* matches no audio"),
        (("none.jsonl",), "none.jsonl: no such file, expected a manifest"),
    ],
)
def test_nothing_to_score_is_refused(music, inputs, message):
    with pytest.raises(ValueError, match=message):
        find_inputs(inputs, SUFFIXES)


def test_an_empty_list_and_an_empty_folder_are_refused(music, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(" \n".strip()))
    with pytest.raises(ValueError, match="inputs: expected at least one"):
        find_inputs(["-"], SUFFIXES)
    Path("empty").mkdir()
    with pytest.raises(ValueError, match="folder empty holds no audio"):
        find_inputs(["empty"], SUFFIXES)


def manifest(folder, *lines):
    path = folder / "clips.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_a_manifest_tells_everything_of_a_clip(tmp_path):
    whole = {"path": "a.wav", "prompt": "calm", "start_s": 1, "end_s": 2.5, "id": "x"}
    path = manifest(tmp_path, whole, "", {"path": "sub/b.wav"}, {"path": "/c.wav", "prompt": None, "end_s": 3})
    assert list(read_manifest(path)) == [
        AudioFile("x", tmp_path / "a.wav", "calm", (1.0, 2.5)),
        AudioFile("sub/b.wav", tmp_path / "sub" / "b.wav", None, None),
        AudioFile("/c.wav", Path("/c.wav"), None, (0.0, 3.0)),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "expected a JSON object, got list"),
        ({"prompt": "calm"}, "path: got None, expected that of an audio file"),
        ({"path": ""}, "path: got '', expected that of an audio file"),
        ({"path": "a\0.wav"}, "expected that of an audio file"),
        ({"path": 3}, "path: got 3, expected a text"),
        ({"path": "a", "start_s": "1"}, "start_s: got '1', expected seconds"),
        ({"path": "a", "end_s": True}, "end_s: got True, expected seconds"),
        ({"path": "a", "start_s": 1}, "start_s, end_s: got 1 and None"),
        ({"path": "a", "start_s": 2, "end_s": 2}, "expected 0 <= start_s < end_s"),
        ({"path": "a", "end_s": float("nan")}, "expected 0 <= start_s < end_s"),
        ({"path": "a", "start_s": -1, "end_s": 2}, "expected 0 <= start_s < end_s"),
        ({"path": "a", "promt": "x"}, r"field: got 'promt', accepted are .* \(did you mean 'prompt'\?\)"),
        ("x" * (MAX_LINE + 1), "more than 1048576 bytes in a line"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_line_that_is_no_clip_is_named(tmp_path, line, message):
    with pytest.raises(ValueError, match=rf"{re.escape(str(tmp_path))}/clips.jsonl:2: .*{message}"):
        list(read_manifest(manifest(tmp_path, {"path": "a.wav"}, line)))


def test_a_manifest_without_clips_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"clips.jsonl: holds no clip"):
        list(read_manifest(manifest(tmp_path, "", "  ")))
