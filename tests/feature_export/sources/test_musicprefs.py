"""MusicPrefs: outcomes joined with embedded clips; ids are row numbers, so nothing may shift them."""

from pathlib import Path
from typing import Any

import pytest
from published_labels import sound, write_csv, write_embedded, write_musicprefs

from feature_export.sources.musicprefs import read_musicprefs
from tunejury_jax.pairs import Pair

OUTCOMES = ["a_wins", "b_wins", "tie", "A_Wins (clearly)", "both_good", "tie"]


def test_pairs_as_published(tmp_path: Path) -> None:
    reading = read_musicprefs(write_musicprefs(tmp_path, OUTCOMES), audio_out=tmp_path / "clips")
    assert [pair.label for pair in reading.pairs] == ["a", "b", "tie", "a", "tie", "tie"]
    assert reading.pairs[5] == Pair(
        id="prefs_000005",
        source="MusicPrefs",
        audio_a="clip_1.wav",
        audio_b="clip_2.wav",
        label="tie",
        question="musicality",
        prompt="a song",
    )
    assert (tmp_path / "clips" / "clip_2.wav").read_bytes() == sound(2)
    assert reading.audio_root == tmp_path / "clips"
    assert reading.counts["rows"] == 6
    assert {k: v for k, v in reading.counts.items() if "tie" in k} == {
        "read as a tie: both_good": 1,
        "read as a tie: tie": 2,
    }


def test_the_other_question(tmp_path: Path) -> None:
    reading = read_musicprefs(write_musicprefs(tmp_path, OUTCOMES), question="fidelity")
    assert [pair.label for pair in reading.pairs] == ["b", "a", "a", "b", "a", "a"]
    assert {pair.question for pair in reading.pairs} == {"fidelity"}
    assert reading.audio_root is None


def test_a_clip_that_is_not_there_shifts_no_id(tmp_path: Path) -> None:
    write_musicprefs(tmp_path, OUTCOMES)
    (tmp_path / "data" / "train-00001-of-00002.parquet").unlink()
    write_embedded(
        tmp_path / "data" / "more", [{"prompt": "a song", "audio": {"path": "clip_3.wav", "bytes": sound(3)}}]
    )
    reading = read_musicprefs(tmp_path)
    assert [pair.id for pair in reading.pairs] == ["prefs_000002", "prefs_000003"]
    assert reading.missing == ["clip_1.wav"]
    assert reading.counts["pairs without audio"] == 4
    assert reading.counts["parquet parts missing"] == 1


def test_prompts_of_the_csv_come_first(tmp_path: Path) -> None:
    write_musicprefs(tmp_path, ["a_wins"])
    row = {"audio_a": "clip_0.wav", "audio_b": "clip_1.wav", "musicality": "a_wins", "prompt": "of the pair"}
    write_csv(tmp_path / "human_preference.csv", [row])
    assert read_musicprefs(tmp_path).pairs[0].prompt == "of the pair"
    assert read_musicprefs(tmp_path, prompt_column="").pairs[0].prompt == ""


def test_a_prompt_column_that_is_nowhere_is_named_with_those_there_are(tmp_path: Path) -> None:
    write_musicprefs(tmp_path, OUTCOMES, prompts=False)
    with pytest.raises(ValueError, match=r"parquet, row 1: prompt: missing, got only \[\]"):
        read_musicprefs(tmp_path)
    assert read_musicprefs(tmp_path, prompt_column="").pairs


def test_clips_of_two_prompts_are_no_pair(tmp_path: Path) -> None:
    write_musicprefs(tmp_path, ["a_wins"])
    write_embedded(
        tmp_path / "data", [{"prompt": str(n), "audio": {"path": f"clip_{n}.wav", "bytes": sound(n)}} for n in range(2)]
    )
    for path in (tmp_path / "data").glob("*-of-00002.parquet"):
        path.unlink()
    with pytest.raises(
        ValueError, match=r"audio_b: expected a clip with audio_a's prompt '0', not '1', got 'clip_1.wav'"
    ):
        read_musicprefs(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"musicality": "a_wins b_wins"}, "row 1: musicality: expected one winner at most, got 'a_wins b_wins'"),
        ({"musicality": ""}, "row 1: musicality: expected a non-empty string, got ''"),
        ({"musicality": "3.5"}, r"row 1: musicality: no row says a_wins or b_wins, got \['3\.5'\]"),
        ({"audio_b": ""}, "row 1: audio_b: expected a non-empty string"),
        ({"musicality": None}, "row 1: musicality: missing, got only"),
    ],
)
def test_a_label_that_is_none(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    write_musicprefs(tmp_path, OUTCOMES)
    given = {"audio_a": "clip_0.wav", "audio_b": "clip_1.wav", "musicality": "a_wins"} | row
    write_csv(tmp_path / "human_preference.csv", [{k: v for k, v in given.items() if v is not None}])
    with pytest.raises(ValueError, match=message):
        read_musicprefs(tmp_path)


def test_a_question_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="question: got 'quality', accepted are 'musicality', 'fidelity'"):
        read_musicprefs(tmp_path, question="quality")


def test_a_clip_without_a_path(tmp_path: Path) -> None:
    write_musicprefs(tmp_path, OUTCOMES)
    write_embedded(tmp_path / "data" / "more", [{"prompt": "x", "audio": {"path": None, "bytes": sound(0)}}])
    with pytest.raises(
        ValueError, match=r"row 1: audio\.path: expected the clip's name in human_preference\.csv, got None"
    ):
        read_musicprefs(tmp_path)


def test_no_labels(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"human_preference\.csv: no such file"):
        read_musicprefs(tmp_path)
