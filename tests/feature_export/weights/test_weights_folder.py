"""Where weights lie, what they are called, and what is said when they are not there."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from feature_export.weights import digests, find_weights
from feature_export.weights.digests import sha256_of
from feature_export.weights.folder import root
from feature_export.weights.published import PUBLICATIONS
from feature_export.weights.record import read_revision, write_record


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path))
    return tmp_path / "mert"


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def test_the_root_is_the_variable_or_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert root() == tmp_path
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("TUNEJURY_WEIGHTS", "~/music/weights")
    assert root() == Path("/home/me/music/weights")
    monkeypatch.setenv("TUNEJURY_WEIGHTS", "")
    assert root() == Path("/home/me/.cache/tunejury/weights")


def test_files_are_found_and_missing_ones_are_said_with_the_command(folder: Path) -> None:
    found = find_weights("mert")
    assert (found.name, found.folder, found.revision) == ("mert", folder, "unrecorded")
    path = write(folder, "deep/config.json", "{}")
    assert found.file("deep/config.json") == path
    with pytest.raises(ValueError, match=r"mert/net\.bin is not there; get it with: tunejury encoders fetch mert$"):
        found.file("net.bin")
    with pytest.raises(ValueError, match="mert/deep is not there"):
        found.file("deep")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"encoders: got 'mertt'.*did you mean 'mert'"):
        find_weights("mertt")


def test_the_digest_is_over_names_and_bytes_in_any_order(folder: Path) -> None:
    write(folder, "a", "1")
    write(folder, "b", "2")
    found = find_weights("mert")
    lines = "".join(f"{hashlib.sha256(text).hexdigest()}  {name}\n" for name, text in (("a", b"1"), ("b", b"2")))
    assert found.sha256("b", "a") == found.sha256("a", "b") == hashlib.sha256(lines.encode()).hexdigest()
    assert found.sha256("a") != found.sha256("b")
    write(folder, "b", "1")
    assert found.sha256("a") != found.sha256("b")  # equal bytes, another name


def test_a_changed_file_has_another_digest(folder: Path) -> None:
    path = write(folder, "a", "1")
    before = find_weights("mert").sha256("a")
    os.utime(write(folder, "a", "2"), ns=(0, path.stat().st_mtime_ns + 1))
    assert find_weights("mert").sha256("a") != before


def test_a_file_is_read_once(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    path = write(folder, "a", "once")
    before = sha256_of(path)

    def forbidden(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(digests.hashlib, "file_digest", forbidden)
    assert sha256_of(path) == before


def test_the_revision_is_what_was_recorded(folder: Path) -> None:
    folder.mkdir()
    write_record(folder, PUBLICATIONS["mert"])
    assert find_weights("mert").revision == PUBLICATIONS["mert"].repositories[0].revision
    write_record(folder, PUBLICATIONS["clap"])
    clap, words = PUBLICATIONS["clap"].repositories
    assert read_revision(folder) == f"roberta-base@{words.revision} laion_clap@{clap.revision}"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"revisions": {}}', '{"revisions": {"a/b": 1}}', '{"revisions": 3}'])
def test_a_damaged_record_is_refused(folder: Path, text: str) -> None:
    write(folder, "fetched.json", text)
    with pytest.raises(ValueError, match=r"fetched\.json"):
        find_weights("mert")


def test_a_record_is_plain_json(folder: Path) -> None:
    folder.mkdir()
    write_record(folder, PUBLICATIONS["mert"])
    (repository,) = PUBLICATIONS["mert"].repositories
    assert json.loads((folder / "fetched.json").read_text()) == {"revisions": {repository.id: repository.revision}}
    assert [path.name for path in folder.iterdir()] == ["fetched.json"]
