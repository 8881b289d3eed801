"""AIME: survey rows joined with clips by number; the ten seconds that were heard stand in the pair."""

from pathlib import Path
from typing import Any

import pytest
from published_labels import aime_survey, sound, write_aime, write_csv, write_embedded, write_jsonl

from feature_export.sources.aime import read_aime
from tunejury_jax.pairs import Pair


def test_pairs_as_published(tmp_path: Path) -> None:
    data, audio = write_aime(tmp_path, aime_survey(8))
    reading = read_aime(data, audio=audio, audio_out=tmp_path / "clips")
    assert [pair.label for pair in reading.pairs] == ["a", "a", "b", "b"] * 2
    assert reading.pairs[3] == Pair(
        id="aime_000003",
        source="AIME",
        audio_a="00003.wav",
        audio_b="00000.wav",
        label="b",
        question="Text-Audio Alignment",
        prompt="tags, 0",
        span_a=(0.0, 10.0),
        span_b=(62.0, 72.0),
        system_a="model 3",
        system_b="model 0",
    )
    assert (tmp_path / "clips" / "00003.wav").read_bytes() == sound(3)
    assert reading.counts == {
        "rows": 8,
        "rows of another question": 0,
        "parquet parts missing": 0,
        "audio rows": 4,
        "clips not needed": 0,
        "clips unusable": 0,
        "clips written": 4,
        "clips found written": 0,
        "segments that are not 10 s": 0,
        "models that are not the clip's": 0,
        "pairs without audio": 0,
    }


def test_one_question_keeps_the_ids_of_all_rows(tmp_path: Path) -> None:
    data, audio = write_aime(tmp_path, aime_survey(6))
    reading = read_aime(data, audio=audio, question="Text-Audio Alignment")
    assert [pair.id for pair in reading.pairs] == ["aime_000001", "aime_000003", "aime_000005"]
    assert reading.counts["rows of another question"] == 3


@pytest.mark.parametrize("write", [write_csv, write_jsonl])
def test_a_survey_of_another_type_is_the_same(tmp_path: Path, write: Any) -> None:
    data, audio = write_aime(tmp_path, aime_survey(8))
    suffix = {write_csv: "csv", write_jsonl: "jsonl"}[write]
    table = write(tmp_path / f"survey.{suffix}", aime_survey(8))
    assert read_aime(table, audio=audio) == read_aime(data, audio=audio)


def test_a_survey_in_parts_is_read_in_their_order(tmp_path: Path) -> None:
    survey = aime_survey(5)
    _, audio = write_aime(tmp_path, survey)
    write_csv(tmp_path / "parts" / "b.csv", survey[3:])
    write_csv(tmp_path / "parts" / "a.csv", survey[:3])
    assert read_aime(tmp_path / "parts", audio=audio).pairs == read_aime(tmp_path / "AIME-survey", audio=audio).pairs


def test_a_clip_that_is_not_there_shifts_no_id(tmp_path: Path) -> None:
    data, audio = write_aime(tmp_path, aime_survey(4), clips=3)
    reading = read_aime(data, audio=audio)
    assert [pair.id for pair in reading.pairs] == ["aime_000000", "aime_000001"]
    assert (reading.missing, reading.counts["pairs without audio"]) == (["00003"], 2)


def test_odd_segments_and_models_are_counted(tmp_path: Path) -> None:
    survey = aime_survey(3)
    survey[0]["track-1-end"] = "00:00:09.5"
    survey[1]["model-2"] = "another"
    data, audio = write_aime(tmp_path, survey)
    reading = read_aime(data, audio=audio)
    assert reading.pairs[0].span_a == (0.0, 9.5)
    assert reading.counts["segments that are not 10 s"] == 1
    assert reading.counts["models that are not the clip's"] == 1


def test_hours_and_minutes_count(tmp_path: Path) -> None:
    survey = aime_survey(1)
    survey[0] |= {"track-1-begin": "01:02:03", "track-1-end": "01:02:13"}
    data, audio = write_aime(tmp_path, survey)
    assert read_aime(data, audio=audio).pairs[0].span_a == (3723.0, 3733.0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("answer", 3, "row 2: answer: got '3', accepted are '1', '2'"),
        ("answer", 0, "row 2: answer: got '0', accepted are '1', '2'"),
        ("answer", "one", "row 2: answer: expected a whole number, got 'one'"),
        ("answer", True, "row 2: answer: expected a whole number, got True"),
        ("question-type", "Quality", "row 2: question-type: got 'Quality', accepted are 'Music Quality', "),
        ("track-1-id", -1, "row 2: track-1-id: expected a whole number, got -1"),
        ("track-1-id", 4.0, r"row 2: track-1-id: expected a whole number, got 4\.0"),
        ("track-1-id", None, "row 2: track-1-id: expected a whole number, got None"),
        ("track-1-begin", "10", "row 2: track-1-begin: expected HH:MM:SS, got '10'"),
        ("track-1-begin", "00:61:00", "row 2: track-1-begin: expected HH:MM:SS"),
        ("track-1-begin", "00:00:10", r"row 2: span_a: expected 0 <= begin_s < end_s"),
        ("model-1", "", "row 2: model-1: expected a non-empty string, got ''"),
        ("description", 3, "row 2: prompt: expected a string or null, got 3"),
    ],
)
def test_a_row_that_is_not_as_published(tmp_path: Path, field: str, value: Any, message: str) -> None:
    _, audio = write_aime(tmp_path, aime_survey(2))
    survey = aime_survey(2)
    survey[1][field] = value
    with pytest.raises(ValueError, match=message):
        read_aime(write_jsonl(tmp_path / "survey.jsonl", survey), audio=audio)


@pytest.mark.parametrize("column", list(aime_survey(1)[0]))
def test_a_missing_column(tmp_path: Path, column: str) -> None:
    _, audio = write_aime(tmp_path, aime_survey(2))
    survey = [{k: v for k, v in row.items() if k != column} for row in aime_survey(2)]
    with pytest.raises(ValueError, match=f"row 1: {column}: missing, got only "):
        read_aime(write_csv(tmp_path / "survey.csv", survey), audio=audio)


def test_a_missing_column_of_the_clips(tmp_path: Path) -> None:
    data, _ = write_aime(tmp_path, aime_survey(2))
    write_embedded(tmp_path / "other", [{"track": "00000", "audio": {"path": "x", "bytes": sound(0)}}])
    with pytest.raises(
        ValueError, match=r"train-00000-of-00001\.parquet, row 1: id: missing, got only \['audio', 'track'\]"
    ):
        read_aime(data, audio=tmp_path / "other")


def test_a_question_that_is_none(tmp_path: Path) -> None:
    data, audio = write_aime(tmp_path, aime_survey(2))
    with pytest.raises(ValueError, match=r"^question: got 'x', accepted are 'Music Quality', 'Text-Audio Alignment'"):
        read_aime(data, audio=audio, question="x")
