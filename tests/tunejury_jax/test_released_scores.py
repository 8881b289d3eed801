"""Tables of released scores: read as they are published, and refused where a row cannot be meant."""

import csv
import json
import os
from pathlib import Path

import pytest
from released_tables import published, write_scores

from tunejury_jax.released_scores import read_record, read_rows, read_scores, record_path


def test_what_was_written_is_read_in_its_order(tmp_path: Path) -> None:
    scores = {"b": -1.25, "a": 0.1 + 0.2, "c": 3e-320}
    assert list(read_scores(write_scores(tmp_path / "t.csv", scores)).items()) == list(scores.items())


def test_further_columns_are_kept_as_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('\ufefftrack_id,reward_score,caption\na,1,"two\nlines, ""quoted"""\n\nb,2,\n')
    rows = read_rows(tmp_path / "t.csv")
    assert rows.columns == ("track_id", "reward_score", "caption")
    assert rows.by_id["a"]["caption"] == 'two\nlines, "quoted"'
    assert read_scores(tmp_path / "t.csv") == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize(("name", "count"), [("sdd", 706), ("musiccaps", 5352)])
def test_published_tables(name: str, count: int) -> None:
    path = published(name)
    with path.open(newline="") as file:
        expected = {row["track_id"]: float(row["reward_score"]) for row in csv.DictReader(file)}
    assert read_scores(path) == expected
    assert len(expected) == count
    assert read_record(path) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"t\.csv: needs the columns \['track_id', 'reward_score'\] once each, it has \[\]"),
        ("track_id,score\na,1\n", r"needs the columns \['reward_score'\] once each, it has \['track_id', 'score'\]"),
        ("track_id,track_id,reward_score\na,a,1\n", r"needs the columns \['track_id'\] once each"),
        ("track_id,reward_score\n", "has no rows, expected at least one"),
        ("track_id,reward_score\na,1\nb\n", "line 3: has 1 values, expected 2"),
        ("track_id,reward_score\na,1\na,2\n", "line 3: track_id is 'a', expected one that occurs once"),
        ("track_id,reward_score\n,1\n", "line 2: track_id is '', expected"),
        ("track_id,reward_score\na,nan\n", "a: reward_score is 'nan', expected a finite number"),
        ("track_id,reward_score\na,high\n", "a: reward_score is 'high', expected a finite number"),
        ("track_id,reward_score\na,1e999\n", "a: reward_score is '1e999', expected a finite number"),
        ('track_id,reward_score\na,"1\n', "line 2: not a table of comma-separated values"),
        (f"track_id,reward_score\n{'a' * 200_000},1\n", "line 2: not a table of comma-separated values: field larger"),
    ],
)
def test_what_is_no_table_of_scores_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_scores(tmp_path / "t.csv")


def test_what_is_not_text_or_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"track_id,reward_score\n\xff\xfe,1\n")
    with pytest.raises(ValueError, match="not a table of comma-separated values"):
        read_scores(tmp_path / "t.csv")
    os.truncate(tmp_path / "t.csv", (256 << 20) + 1)  # sparse: takes no room
    with pytest.raises(ValueError, match="bytes, accepted are at most 268435456"):
        read_scores(tmp_path / "t.csv")


def test_the_record_stands_beside_the_table(tmp_path: Path) -> None:
    path = write_scores(tmp_path / "t.csv", {"a": 1.0})
    assert record_path(path) == tmp_path / "t.csv.json"
    record_path(path).write_text(json.dumps({"checkpoint": "abc"}))
    assert read_record(path) == {"checkpoint": "abc"}
