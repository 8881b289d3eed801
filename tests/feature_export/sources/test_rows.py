"""Rows of published tables: the same from every file type, and refused with file and row where they are damaged."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published_labels import write_csv, write_jsonl

from feature_export.sources import rows
from feature_export.sources.rows import Row, find_tables, missing_shards, once, read_rows

ROWS = [{"id": "ü,1", "text": 'two\nlines "here"'}, {"id": "2", "text": ""}]


def write_parquet(path: Path, records: list[dict[str, str]] = ROWS) -> Path:
    pq.write_table(pa.Table.from_pylist(records), path)
    return path


@pytest.mark.parametrize(
    ("suffix", "write"), [(".csv", write_csv), (".jsonl", write_jsonl), (".parquet", write_parquet)]
)
def test_every_type_gives_the_same_rows(tmp_path: Path, suffix: str, write: object) -> None:
    path = write(tmp_path / f"table{suffix}", ROWS)  # type: ignore[operator]
    assert [dict(row.values) for row in read_rows(path)] == ROWS
    assert [row.where for row in read_rows(path)] == [f"{path}, row 1", f"{path}, row 2"]


def test_a_parquet_of_many_batches_keeps_its_order(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", [{"id": str(number)} for number in range(50)])
    assert [row.text("id") for row in read_rows(path)] == [str(number) for number in range(50)]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\ufeffid,x\n1,2\n", encoding="utf-8")
    assert next(read_rows(tmp_path / "t.csv")).text("id") == "1"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"a,b\n1,2\n1\n", "t.csv, after row 1: expected 2 cells as in the header, got another number"),
        ("t.csv", b"a,b\n1,2,3\n", "t.csv, after row 0: expected 2 cells"),
        ("t.csv", b"a,a\n1,2\n", r"header: columns \['a'\] occur twice"),
        ("t.csv", b"a\n\xff\n", "t.csv, after row 0: 'utf-8' codec can't decode"),
        ("t.csv", b'a\n"open\n', "t.csv, after row 0: unexpected end of data"),
        ("t.csv", b"a,b\n", "t.csv: holds no rows"),
        ("t.csv", b"", "t.csv: holds no rows"),
        ("t.jsonl", b'{"a": 1}\n[1]\n', "t.jsonl, after row 1: record: expected a JSON object, got list"),
        ("t.jsonl", b'{"a": 1\n', "t.jsonl, after row 0: record: not JSON"),
        ("t.parquet", b"PAR1", "t.parquet, after row 0: "),
        ("t.xlsx", b"", r"type: got '.xlsx', accepted are '.csv', '.jsonl', '.parquet'"),
    ],
)
def test_a_damaged_table(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(read_rows(tmp_path / name))


@pytest.mark.parametrize("cut", [1, 8, 40])
def test_a_truncated_parquet(tmp_path: Path, cut: int) -> None:
    path = write_parquet(tmp_path / "t.parquet")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match=re.escape(f"{path}, after row 0: ")):
        list(read_rows(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"t\.csv: no such file"):
        list(read_rows(tmp_path / "t.csv"))


@pytest.mark.parametrize(("limit", "name"), [("MAX_TEXT_BYTES", "t.csv"), ("MAX_ROW_GROUP_BYTES", "t.parquet")])
def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, name: str) -> None:
    (write_csv if name == "t.csv" else write_parquet)(tmp_path / name, ROWS)
    monkeypatch.setattr(rows, limit, 10)
    with pytest.raises(ValueError, match=r"\d+ bytes, accepted are at most 10$"):
        list(read_rows(tmp_path / name))


def test_a_few_bytes_that_stand_for_much_are_decoded_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One value of 100 kB, once in the file's dictionary, in 500 rows: 50 MB once decoded."""
    path = write_parquet(tmp_path / "t.parquet", [{"id": "x" * 100_000}] * 500)
    assert path.stat().st_size < 50_000
    sizes: list[int] = []
    decode = pq.ParquetFile.iter_batches

    def spy(file: pq.ParquetFile, count: int) -> Iterator[pa.RecordBatch]:
        for batch in decode(file, count):
            sizes.append(batch.nbytes)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    monkeypatch.setattr(rows, "MAX_BATCH_BYTES", 500_000)
    assert sum(len(row.text("id")) for row in read_rows(path)) == 50_000_000
    assert max(sizes) <= 500_000


def test_a_packed_cell_is_refused_by_its_declared_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"audio": [b"\0" * (8 << 20)]}), path, compression="zstd")
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(rows, "MAX_ROW_GROUP_BYTES", 1 << 20)
    with pytest.raises(
        ValueError, match=r"t\.parquet, after row 0: row group: 83\d+ bytes, accepted are at most 1048576"
    ):
        list(read_rows(path))


@pytest.mark.parametrize(
    ("suffix", "write", "message"),
    [
        (".csv", write_csv, r"after row 0: field larger than field limit"),
        (".jsonl", write_jsonl, r"after row 0: record: \d+ bytes, accepted are at most 1048576"),
        (".parquet", write_parquet, r"after row 0: id: 2000000 characters, accepted are at most 1048576"),
    ],
)
def test_a_field_that_is_too_long(tmp_path: Path, suffix: str, write: object, message: str) -> None:
    path = write(tmp_path / f"t{suffix}", [{"id": "x" * 2_000_000}])  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        list(read_rows(path))


def test_a_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    """Byte order mark, carriage returns, quotes around all, doubled quotes inside, a comma and a line end."""
    path = tmp_path / "t.csv"
    path.write_bytes('\ufeff"id","text"\r\n"1","a ""b"", c\r\nd"\r\n"2",""\r\n'.encode())
    assert [dict(row.values) for row in read_rows(path)] == [
        {"id": "1", "text": 'a "b", c\r\nd'},
        {"id": "2", "text": ""},
    ]


def test_fields_are_checked() -> None:
    row = Row("t.csv, row 3", {"a": " ", "n": 1, "code": "x"})
    with pytest.raises(ValueError, match=r"^t\.csv, row 3: b: missing, got only \['a', 'code', 'n'\]$"):
        row.get("b")
    with pytest.raises(ValueError, match=r"^t\.csv, row 3: a: expected a non-empty string, got ' '$"):
        row.text("a")
    with pytest.raises(ValueError, match=r"^t\.csv, row 3: code: got 'x', accepted are 'y', 'z'$"):
        row.code("code", {"y": 1, "z": 2})
    with pytest.raises(ValueError, match=r"^t\.csv, row 3: id: missing"):
        row.pair(source="S")


def test_a_value_that_occurs_twice() -> None:
    seen: dict[str, str] = {}
    once(seen, "id", "x", "row 1")
    with pytest.raises(ValueError, match=r"^row 2: id: 'x' occurs twice, first in row 1$"):
        once(seen, "id", "x", "row 2")


def test_tables_of_a_folder_in_order(tmp_path: Path) -> None:
    names = ["train-00000-of-00003.parquet", "train-00001-of-00003.parquet", "train-00002-of-00003.parquet"]
    for name in reversed(names):
        write_parquet(tmp_path / name)
    assert [path.name for path in find_tables(tmp_path)] == names
    (tmp_path / names[1]).unlink()
    assert missing_shards(sorted(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match="1 of the parts that the file names count are missing"):
        find_tables(tmp_path)


def test_a_folder_with_tables_of_no_or_two_types(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"of one type of \.csv, \.jsonl, \.parquet, got none"):
        find_tables(tmp_path)
    write_csv(tmp_path / "t.csv", ROWS)
    assert find_tables(tmp_path) == [tmp_path / "t.csv"]
    write_jsonl(tmp_path / "t.jsonl", ROWS)
    with pytest.raises(ValueError, match=r"got \.csv, \.jsonl"):
        find_tables(tmp_path)
    assert find_tables(tmp_path / "t.jsonl") == [tmp_path / "t.jsonl"]
