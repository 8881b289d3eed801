"""Columns of CSV files, and what is refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from tunejury_jax import csv_columns
from tunejury_jax.csv_columns import codes, numbers, read_columns, refuse_repeats


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def test_reads_columns_as_text_and_as_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufeffid,score,other\r\n007,1e3,\r\n"a, b",-2,x\r\n')
    table = read_columns(path, ["score", "id"])
    assert table.column_names == ["score", "id"]
    assert table["id"].to_pylist() == ["007", "a, b"]
    assert_array_equal(numbers(path, "score", table["score"]), [1000.0, -2.0])


def test_codes_are_places_among_sorted_names() -> None:
    a, b = pa.chunked_array([["sun", "moon"], ["sun"]]), pa.chunked_array([["earth", "sun", "moon"]])
    names, (first, second) = codes(a, b)
    assert names == ("earth", "moon", "sun")
    assert_array_equal(first, [2, 1, 2])
    assert_array_equal(second, [0, 2, 1])


def test_an_empty_column_has_no_codes(tmp_path: Path) -> None:
    table = read_columns(written(tmp_path, "id\n"), ["id"])
    names, (found,) = codes(table["id"])
    assert (names, len(found)) == ((), 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,points\na,1\n", "column: got 'score', accepted are 'id', 'points'"),
        ("id,score\na,1\n,2\n", "column id: 1 rows are not a value: row 2: ''"),
        ("id,score\na,1\nb\n", "not a table"),
        ("", "not a table"),
    ],
)
def test_refuses_what_is_not_such_a_table(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_columns(written(tmp_path, text), ["id", "score"])


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "high"])
def test_refuses_what_is_no_finite_number(tmp_path: Path, bad: str) -> None:
    path = written(tmp_path, f"score\n1\n{bad}\n")
    with pytest.raises(ValueError, match=f"column score: .*finite numbers.*{bad}"):
        numbers(path, "score", read_columns(path, ["score"])["score"])


def test_refuses_repeats_a_name_twice_and_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "id\na\nb\nc\nb\n")
    with pytest.raises(ValueError, match="column id: 'b' stands in rows 2 and 4, expected once"):
        refuse_repeats(path, "id", read_columns(path, ["id"])["id"])
    with pytest.raises(ValueError, match="each must have a name of its own"):
        read_columns(path, ["id", "id"])
    monkeypatch.setattr(csv_columns, "MAX_CSV_BYTES", 3)
    with pytest.raises(ValueError, match="11 bytes, accepted are at most 3"):
        read_columns(path, ["id"])


def test_a_million_rows(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    scores = np.random.default_rng(0).normal(size=1_000_000).round(4)
    path.write_text("clip,score\n" + "".join(f"clip {n},{score}\n" for n, score in enumerate(scores.tolist())))
    table = read_columns(path, ["clip", "score"])
    assert_array_equal(numbers(path, "score", table["score"]), scores)
    refuse_repeats(path, "clip", table["clip"])
