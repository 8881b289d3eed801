"""CMI-Pref: its rows of the benchmark's test file, one question at a time; the other rows are counted."""

import re
from pathlib import Path
from typing import Any

import pytest
from published_labels import bench_row, cmi_row, write_jsonl

from feature_export.sources.cmi_pref import read_cmi_pref
from tunejury_jax.pairs import Pair


def write(root: Path, *rows: dict[str, Any], audio: Path | None = None) -> Path:
    write_jsonl(root / "data" / "all_test.jsonl", rows)
    for row in rows:
        for field in ("audio-path", "audio2"):
            if row["source"].startswith("cmi") and ".." not in str(row.get(field, "..")):
                path = (audio or root) / row[field]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    return root


def test_pairs_as_published(tmp_path: Path) -> None:
    reading = read_cmi_pref(write(tmp_path, bench_row(), cmi_row(4), cmi_row(6, **{"ref-audio-path": "x.mp3"})))
    assert reading.pairs[0] == Pair(
        id="cmipref_000001",
        source="CMI-Pref",
        audio_a="cmi-pref/gen-audio/00000004.mp3",
        audio_b="cmi-pref/gen-audio/00000005.mp3",
        label="a",
        question="musicality",
        prompt="prompt 4",
        lyrics="la",
        system_a="one",
        system_b="two",
        confidence=4.0,
        rater="7",
        split="test",
    )
    assert reading.counts == {
        "rows": 3,
        "rows of Music Arena (July)": 1,
        "pairs with reference audio": 1,
        "pairs without audio": 0,
    }


def test_the_other_question(tmp_path: Path) -> None:
    (pair,) = read_cmi_pref(write(tmp_path, cmi_row(0)), question="alignment").pairs
    assert (pair.label, pair.confidence, pair.question) == ("b", 2.0, "alignment")


def test_both_and_neither(tmp_path: Path) -> None:
    rows = [cmi_row(n, **{"preference-musicality": code}) for n, code in enumerate(("both", "neither"))]
    assert [pair.label for pair in read_cmi_pref(write(tmp_path, *rows)).pairs] == ["tie", "both_bad"]


def test_audio_in_another_folder(tmp_path: Path) -> None:
    write(tmp_path / "labels", cmi_row(0), audio=tmp_path / "audio")
    with_root = read_cmi_pref(tmp_path / "labels", audio=tmp_path / "audio")
    assert (len(with_root.pairs), with_root.audio_root) == (1, tmp_path / "audio")
    without = read_cmi_pref(tmp_path / "labels" / "data" / "all_test.jsonl")
    assert (len(without.pairs), len(without.missing)) == (0, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preference-musicality": "A"}, "row 1: preference-musicality: got 'A', accepted are 'model_a', 'model_b'"),
        (
            {"confidence_musicality": "6.0"},
            "row 1: confidence_musicality: expected a number from 1.0 to 5.0, got '6.0'",
        ),
        (
            {"confidence_musicality": "nan"},
            "row 1: confidence_musicality: expected a number from 1.0 to 5.0, got 'nan'",
        ),
        ({"confidence_musicality": None}, "row 1: confidence_musicality: expected a number from 1.0 to 5.0, got None"),
        ({"split": "train"}, "row 1: split: got 'train', accepted are 'test'"),
        ({"audio-path": "../x.mp3"}, "row 1: audio_a: expected a path below the audio root"),
        ({"source": None}, "row 1: source: expected a non-empty string, got None"),
    ],
)
def test_a_row_that_is_not_as_published(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_jsonl(tmp_path / "data" / "all_test.jsonl", [cmi_row(0) | change])
    with pytest.raises(ValueError, match=re.escape(message)):
        read_cmi_pref(tmp_path)


@pytest.mark.parametrize(
    "column", ["preference-musicality", "confidence_musicality", "audio2", "prompt", "split", "source"]
)
def test_a_missing_column(tmp_path: Path, column: str) -> None:
    row = cmi_row(0)
    del row[column]
    write_jsonl(tmp_path / "data" / "all_test.jsonl", [row])
    with pytest.raises(ValueError, match=f"row 1: {column}: missing, got only "):
        read_cmi_pref(tmp_path)


def test_a_question_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="question: got 'x', accepted are 'musicality', 'alignment'"):
        read_cmi_pref(tmp_path, question="x")
