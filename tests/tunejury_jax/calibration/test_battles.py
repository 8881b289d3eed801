"""Scored battles from tables, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tunejury_jax.calibration.battles import Battles, read_battles
from tunejury_jax.calibration.columns import Columns

HEADER = "battle_id,preference,system_a,system_b,tj_a,tj_b,tj_pred,agree\n"
ROWS = ["b1,A,sun,moon,1.5,0.25,A,1", "b2,B,moon,sun,-0.5,-0.75,A,0", "b3,A,sun,sun,0,0,B,0"]


def written(tmp_path: Path, *rows: str, header: str = HEADER) -> Path:
    path = tmp_path / "battles.csv"
    path.write_text(header + "".join(row + "\n" for row in rows))
    return path


def test_reads_the_published_columns(tmp_path: Path) -> None:
    battles = read_battles(written(tmp_path, *ROWS))
    assert (battles.ids, battles.systems) == (("b1", "b2", "b3"), ("moon", "sun"))
    assert_array_equal(battles.system_a, [1, 0, 1])
    assert_array_equal(battles.system_b, [0, 1, 1])
    assert_array_equal(battles.margin, [1.25, 0.25, 0.0])
    assert_array_equal(battles.a_won, [True, False, True])


def test_columns_have_other_names_and_text_stays_text(tmp_path: Path) -> None:
    path = written(tmp_path, '007,A,1.0,"2, again",1,2', header="\ufeffid,winner,left,right,l,r\r\n")
    battles = read_battles(path, Columns("id", "winner", "left", "right", "l", "r"))
    assert battles.ids == ("007",)
    assert battles.systems == ("1.0", "2, again")


def test_takes_some_in_any_order(tmp_path: Path) -> None:
    battles = read_battles(written(tmp_path, *ROWS))
    assert battles.take([2, 0]).ids == ("b3", "b1")
    assert battles.take([2, 0]).systems == battles.systems
    assert battles.take([]).margin.shape == (0,)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("b4,TIE,sun,moon,1,2,,", "column preference: 1 rows are not A or B: row 4: 'TIE'"),
        ("b4,a,sun,moon,1,2,,", "column preference: 1 rows are not A or B: row 4: 'a'"),
        ("b4,,sun,moon,1,2,,", "column preference: 1 rows are not a value: row 4: ''"),
        ("b4,A,,moon,1,2,,", "column system_a: 1 rows are not a value"),
        ("b4,A,sun,moon,nan,2,,", "column tj_a: 1 rows are not finite numbers: row 4: 'nan'"),
        ("b4,A,sun,moon,1,-inf,,", "column tj_b: 1 rows are not finite numbers: row 4: '-inf'"),
        ("b4,A,sun,moon,high,2,,", "column tj_a: expected finite numbers: .*high"),
        ("b2,A,sun,moon,1,2,,", "column battle_id: 'b2' stands in rows 2 and 4, expected once"),
        ("b4,A,sun", "not a table of comma-separated values"),
    ],
)
def test_refuses_a_row_by_name(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_battles(written(tmp_path, *ROWS, row))


def test_refuses_missing_columns_and_one_name_for_two(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"column: got 'winner', accepted are 'battle_id'"):
        read_battles(written(tmp_path, *ROWS), Columns(preference="winner"))
    with pytest.raises(ValueError, match="columns: each must have a name of its own"):
        read_battles(written(tmp_path, *ROWS), Columns(score_a="tj_b"))
    with pytest.raises(ValueError, match="not a table"):
        read_battles(written(tmp_path, header=""))


def test_no_rows_are_no_battles(tmp_path: Path) -> None:
    battles = read_battles(written(tmp_path))
    assert isinstance(battles, Battles)
    assert battles.margin.dtype == np.float64
    assert not battles.ids
