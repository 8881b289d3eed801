"""JSON from files: what is refused, and that the size is looked at first."""

from pathlib import Path

import pytest

from tunejury_jax.documents import as_json, fill_whole, parse_object, read_bounded, read_object, write_json, write_whole


def test_an_object_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"name": "é", "n": [1, 2.5, null]}', encoding="utf-8")
    assert read_object(tmp_path / "a.json", 100) == {"name": "é", "n": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "here: not JSON"),
        (b"{", "here: not JSON"),
        (b"\xff", "here: not JSON"),
        (b"[" * 100_000, "here: not JSON: maximum recursion depth"),
        (b"[]", "here: expected a JSON object, got list"),
        (b"1", "here: expected a JSON object, got int"),
        (b"{" + b" " * 200_000, "here: 200001 bytes, accepted are at most 200000"),
    ],
)
def test_what_is_no_object_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_object(data, "here", 200_000)


def test_a_file_at_the_limit_is_read_and_one_above_is_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(ValueError, match="a: 5 bytes, accepted are at most 4"):
        read_bounded(tmp_path / "a", 4)


def test_as_json_is_what_a_file_gives_back() -> None:
    assert as_json({"widths": (1, 2), 3: None}) == {"widths": [1, 2], "3": None}
    with pytest.raises(TypeError, match="not JSON serializable"):
        as_json({"path": Path()})


def test_a_written_document_reads_back_and_can_be_read_by_people(tmp_path: Path) -> None:
    document = {"zither": [1, 2.5, None], "accordion": "é"}
    write_json(tmp_path / "document.json", document)
    assert read_object(tmp_path / "document.json", 1000) == document
    assert (tmp_path / "document.json").read_text().startswith('{\n "zither": [\n  1,')
    write_json(tmp_path / "document.json", document, sort_keys=True)
    assert list(read_object(tmp_path / "document.json", 1000)) == ["accordion", "zither"]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "é\r\n")
    assert path.read_bytes() == "é\r\n".encode()
    write_whole(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    monkeypatch.setattr(Path, "write_bytes", lambda self, data: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_whole(path, "new")
    assert path.read_bytes() == b"\xff"


def test_a_file_is_filled_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")

    def stop(partial: Path) -> None:
        partial.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_whole(tmp_path / "a.txt", stop)
    assert (tmp_path / "a.txt").read_text() == "old"
    fill_whole(tmp_path / "a.txt", lambda partial: partial.write_text("new"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"
