"""The file of scores: whatever the byte at which a run was killed, it ends as if it had not been."""

import csv
import dataclasses
import json

import pytest

from tunejury_jax.score_files import ScoreRow
from tunejury_jax.score_out import ScoreFile

NASTY = 'a "quoted", comma;\nnew line and \u00fcmlaut'
SHARED = ("c" * 64, {"toy": "1", "words": "2"}, 0.0)
PLANNED = [
    ScoreRow("1.wav", "x/1.wav", None, None, "with", NASTY, *SHARED),
    ScoreRow("2.wav", "x/2.wav", 0.5, 1.0, "with", "", *SHARED),
    ScoreRow("3,.wav", "x/3,.wav", None, None, "empty", "", *SHARED),
]
ROWS = [
    dataclasses.replace(PLANNED[0], reward=-0.25, flags=("short", "clipped")),
    dataclasses.replace(PLANNED[1], error='"bad"\nfile'),
    dataclasses.replace(PLANNED[2], reward=1.5, std=0.125, percentile=99.5),
]


def write(path, rows=ROWS, planned=PLANNED):
    with ScoreFile(path, planned) as out:
        present = out.present
        for row in rows[present:]:
            out.append(row)
    return present


@pytest.mark.parametrize("name", ["s.jsonl", "s.csv", "new/deep/s.CSV"])
def test_a_file_cut_at_any_byte_becomes_whole(tmp_path, name):
    path = tmp_path / name
    assert write(path) == 0
    whole = path.read_bytes()
    for at in range(len(whole) + 1):
        path.write_bytes(whole[:at])
        assert 0 <= write(path) <= 3
        assert path.read_bytes() == whole, at


def test_the_rows_as_jsonl(tmp_path):
    write(tmp_path / "s.jsonl")
    found = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert found == json.loads(json.dumps([row.to_json() for row in ROWS]))
    assert found[0]["flags"] == ["short", "clipped"]


def test_the_rows_as_csv(tmp_path):
    write(tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert [row["prompt"] for row in found] == [NASTY, "", ""]
    assert [row["reward"] for row in found] == ["-0.25", "", "1.5"]
    assert [row["flags"] for row in found] == ["short;clipped", "", ""]
    assert [row["error"] for row in found] == ["", '"bad"\nfile', ""]
    assert (found[1]["start_s"], found[0]["start_s"], found[0]["encoders"]) == ("0.5", "", "toy=1;words=2")


@pytest.mark.parametrize("name", ["s.jsonl", "s.csv"])
@pytest.mark.parametrize(
    "field", [{"path": "y"}, {"prompt": "other"}, {"checkpoint": "d" * 64}, {"conservative": 1.0}], ids=str
)
def test_a_file_of_another_run_is_left_alone(tmp_path, name, field):
    write(tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(ValueError, match=r"out: .* is not of this run but of other inputs, prompts or another head"):
        ScoreFile(tmp_path / name, [PLANNED[0], dataclasses.replace(PLANNED[1], **field), PLANNED[2]])
    with pytest.raises(ValueError, match="has more rows than this run"):
        ScoreFile(tmp_path / name, PLANNED[:2])
    assert (tmp_path / name).read_bytes() == before


def test_a_file_that_is_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.csv").write_text("my notes\n")
    with pytest.raises(ValueError, match="line 1, is not of this run"):
        ScoreFile(tmp_path / "notes.csv", PLANNED)
    assert (tmp_path / "notes.csv").read_text() == "my notes\n"


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"out: suffix: got '.txt', accepted are '.csv', '.jsonl'"):
        ScoreFile(tmp_path / "s.txt", PLANNED)
    assert list(tmp_path.iterdir()) == []
