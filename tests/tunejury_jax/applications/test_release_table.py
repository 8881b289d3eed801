"""Tables that grow: appended to, cut off at any byte, continued."""

import csv
import json
from pathlib import Path

import pytest

from tunejury_jax.applications.release.table import ReleaseTable
from tunejury_jax.released_scores import read_record, read_scores

COLUMNS = ("track_id", "reward_score", "caption")
IDENTITY = {"collection": "musiccaps", "checkpoint": "abc", "rendering": None}
ROWS = {"a": (0.1 + 0.2, 'two\nlines, "quoted"'), "b,c": (-1e-7, ""), "d": (3.0, "plain\r\nend\n")}


def filled(path: Path) -> ReleaseTable:
    table = ReleaseTable(path, COLUMNS, IDENTITY)
    for key, (reward, caption) in ROWS.items():
        table.add(key, reward, {"caption": caption, "unknown": "x"})
    return table


def test_rows_are_what_a_csv_reader_gives_back(tmp_path: Path) -> None:
    filled(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["track_id"], float(row["reward_score"]), row["caption"]) for row in rows] == [
        (key, *values) for key, values in ROWS.items()
    ]


def test_a_table_is_continued(tmp_path: Path) -> None:
    filled(tmp_path / "t.csv")
    table = ReleaseTable(tmp_path / "t.csv", COLUMNS, IDENTITY)
    assert table.done == set(ROWS)
    table.add("e", 1.0, {})
    assert list(read_scores(tmp_path / "t.csv")) == [*ROWS, "e"]


def test_whatever_byte_it_was_cut_off_at(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    filled(path)
    whole = path.read_bytes()
    ends = [len(b"track_id,reward_score,caption\r\n")]
    for key, (reward, caption) in ROWS.items():
        (tmp_path / "one").mkdir(exist_ok=True)
        one = ReleaseTable(tmp_path / "one" / f"{len(ends)}.csv", COLUMNS, IDENTITY)
        one.add(key, reward, {"caption": caption})
        ends.append(ends[-1] + one.path.stat().st_size - ends[0])
    assert ends[-1] == len(whole)
    for cut in range(ends[0], len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends) - 1
        assert ReleaseTable(path, COLUMNS, IDENTITY).done == set(list(ROWS)[:kept]), cut
        assert path.read_bytes() == whole[: ends[kept]]


def test_the_record_says_what_made_it_and_how_it_went(tmp_path: Path) -> None:
    table = filled(tmp_path / "t.csv")
    assert read_record(tmp_path / "t.csv") == IDENTITY
    table.conclude({"scored": 3}, {"z": "damaged"})
    assert read_record(tmp_path / "t.csv") == {**IDENTITY, "counts": {"scored": 3}, "failures": {"z": "damaged"}}
    assert ReleaseTable(tmp_path / "t.csv", COLUMNS, IDENTITY).done == set(ROWS)


@pytest.mark.parametrize("change", [{"checkpoint": "other"}, {"rendering": {"gain": 0.2}}])
def test_a_table_of_something_else_is_not_continued(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "t.csv"
    filled(path)
    before = path.read_bytes()
    with pytest.raises(
        ValueError, match=rf"out: .*t\.csv was made otherwise \({next(iter(change))}.*; name a new file"
    ):
        ReleaseTable(path, COLUMNS, {**IDENTITY, **change})
    (tmp_path / "t.csv.json").unlink()
    with pytest.raises(ValueError, match="was made otherwise"):
        ReleaseTable(path, COLUMNS, IDENTITY)
    assert path.read_bytes() == before


def test_other_columns_are_refused(tmp_path: Path) -> None:
    filled(tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"has the columns \('track_id', 'reward_score', 'caption'\), expected"):
        ReleaseTable(tmp_path / "t.csv", COLUMNS[:2], IDENTITY)


def test_killed_before_the_first_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv.json").write_text(json.dumps(IDENTITY))
    assert ReleaseTable(tmp_path / "t.csv", COLUMNS, IDENTITY).done == set()
