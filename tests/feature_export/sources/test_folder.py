"""Labels of one's own: the least that is needed, all that is possible, and every bad row named."""

import re
from pathlib import Path
from typing import Any

import pytest
from published_labels import write_csv, write_jsonl

from feature_export.sources.folder import read_folder
from tunejury_jax.pairs import Pair

LEAST = {"audio_a": "x/a.wav", "audio_b": "b.wav", "label": "a"}


def write_audio(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize("write", [write_csv, write_jsonl])
def test_the_least(tmp_path: Path, write: Any) -> None:
    write_audio(tmp_path, "x/a.wav", "b.wav")
    suffix = {write_csv: "csv", write_jsonl: "jsonl"}[write]
    rows = [LEAST | {"prompt": ""}, LEAST | {"label": "tie", "prompt": "lo-fi"}]
    reading = read_folder(write(tmp_path / f"labels.{suffix}", rows))
    least = Pair("folder_000000", "folder", "x/a.wav", "b.wav", "a")
    assert reading.pairs == [least, Pair("folder_000001", "folder", "x/a.wav", "b.wav", "tie", prompt="lo-fi")]
    assert (reading.counts, reading.audio_root) == ({"rows": 2, "pairs without audio": 0}, tmp_path)


def test_all_fields_of_a_pair_may_be_given(tmp_path: Path) -> None:
    write_audio(tmp_path / "audio", "x/a.wav", "b.wav")
    row = LEAST | {"id": "p", "source": "Mine", "span_a": [0, 1.5], "confidence": 3, "split": "test", "rater": "r"}
    write_jsonl(tmp_path / "labels" / "l.jsonl", [row])
    (pair,) = read_folder(tmp_path / "labels", audio=tmp_path / "audio").pairs
    assert (pair.id, pair.source, pair.span_a, pair.confidence, pair.split) == ("p", "Mine", (0.0, 1.5), 3.0, "test")


def test_audio_that_is_not_there_is_counted(tmp_path: Path) -> None:
    write_audio(tmp_path, "x/a.wav", "b.wav")
    reading = read_folder(write_csv(tmp_path / "l.csv", [LEAST | {"audio_a": "gone.wav"}, LEAST]))
    assert [pair.id for pair in reading.pairs] == ["folder_000001"]
    assert (reading.missing, reading.counts["pairs without audio"]) == (["gone.wav"], 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "left"}, "row 2: label: got 'left', accepted are 'a', 'b', 'tie', 'both_bad'"),
        ({"label": ""}, "row 2: label: expected a non-empty string, got ''"),
        ({"audio_b": "/abs.wav"}, "row 2: audio_b: expected a path below the audio root"),
        ({"rating": "3"}, "row 2: field: got 'rating', accepted are "),
        ({"id": "folder_000000"}, "row 2: id: 'folder_000000' occurs twice, first in "),
    ],
)
def test_a_row_that_is_no_pair(tmp_path: Path, change: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_folder(write_jsonl(tmp_path / "l.jsonl", [LEAST, LEAST | change]))


@pytest.mark.parametrize("column", list(LEAST))
def test_a_missing_column(tmp_path: Path, column: str) -> None:
    row = {name: value for name, value in LEAST.items() if name != column}
    with pytest.raises(ValueError, match=f"row 1: {column}: missing, got only "):
        read_folder(write_csv(tmp_path / "l.csv", [row]))
