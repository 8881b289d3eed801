"""Fetching from a stand-in hub: continued, checked, placed whole; and what is said when it cannot be had."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hub_stand_in import HubStandIn, serving
from huggingface_hub import close_session, constants
from published_factory import BIG, SMALL, hub_of, published

from feature_export.weights import find_weights, hub
from feature_export.weights.fetch import fetch
from feature_export.weights.placing import alone_in
from feature_export.weights.published import Publication

NET = published()


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "PAUSE_S", 0.0)
    yield
    close_session()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    with serving(hub_of(NET)) as standing:
        monkeypatch.setenv("HF_ENDPOINT", standing.url)
        yield standing


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name != ".lock"]


def bodies(standing: HubStandIn) -> list[tuple[str, str]]:
    """Last part of the path and range of every request for bytes."""
    return [(path.rpartition("/")[2], span) for method, path, span in standing.asked if method == "GET"]


def test_everything_arrives_and_is_recorded(stand_in: HubStandIn) -> None:
    folder = fetch(NET)
    assert (folder / "net.bin").read_bytes() == BIG
    assert (folder / "config.json").read_bytes() == SMALL
    assert (folder / "words/config.json").read_bytes() == SMALL[::-1]
    assert find_weights("mert").revision == f"Net-330M@{'a' * 40} words@{'b' * 40}"
    assert hidden(folder) == []
    assert set(stand_in.tokens) == {"Bearer secret"}
    assert set(stand_in.blob_tokens) == {None}


def test_a_complete_folder_is_checked_without_a_hub(stand_in: HubStandIn) -> None:
    folder = fetch(NET)
    (folder / "fetched.json").unlink()
    asked = len(stand_in.asked)
    assert fetch(NET) == folder
    assert len(stand_in.asked) == asked
    assert find_weights("mert").revision != "unrecorded"


def test_only_what_is_missing_is_fetched(stand_in: HubStandIn) -> None:
    folder = fetch(NET)
    (folder / "config.json").unlink()
    stand_in.asked.clear()
    fetch(NET)
    assert bodies(stand_in) == [("config.json", "bytes=0-")]


def test_a_broken_line_is_taken_up_where_it_broke(stand_in: HubStandIn) -> None:
    stand_in.cut_after, stand_in.cuts = 1 << 20, 2
    folder = fetch(NET)
    assert (folder / "net.bin").read_bytes() == BIG
    starts = [span for name, span in bodies(stand_in) if name != "config.json" and span]
    assert "bytes=1048576-" in starts
    assert "bytes=2097152-" in starts


def test_the_next_command_continues(monkeypatch: pytest.MonkeyPatch, stand_in: HubStandIn, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "ATTEMPTS", 1)
    stand_in.cut_after, stand_in.cuts = 2 << 20, 1
    with pytest.raises(ValueError, match=r"Net-330M: net\.bin: the hub cannot be reached .*same command continues"):
        fetch(NET)
    assert not (tmp_path / "mert/net.bin").exists()
    assert [path.stat().st_size for path in hidden(tmp_path / "mert")] == [2 << 20]
    stand_in.asked.clear()
    left = len(BIG) - (2 << 20) + 2 * len(SMALL)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=left))
    folder = fetch(NET)
    assert (folder / "net.bin").read_bytes() == BIG
    assert f"bytes={2 << 20}-" in [span for _, span in bodies(stand_in)]


KILLED = """
import os, signal
from contextlib import contextmanager
from huggingface_hub import constants
from published_factory import published
from feature_export.weights import fetch

@contextmanager
def progress(*_):
    chunks = iter(range(2))
    yield lambda count: os.kill(os.getpid(), signal.SIGKILL) if next(chunks) else None

fetch.progress = progress
fetch.fetch(published())
"""


def test_a_killed_process_leaves_what_the_next_one_continues(stand_in: HubStandIn, tmp_path: Path) -> None:
    tests = Path(__file__).parents[2]
    environment = os.environ | {"HF_HUB_OFFLINE": "0", "PYTHONPATH": f"{tests}:{tests.parent}"}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "mert/net.bin").exists()
    assert [path.stat().st_size for path in hidden(tmp_path / "mert")] == [2 << 20]
    stand_in.asked.clear()
    assert (fetch(NET) / "net.bin").read_bytes() == BIG
    assert f"bytes={2 << 20}-" in [span for _, span in bodies(stand_in)]


def test_a_hub_without_ranges_sends_all_again(monkeypatch: pytest.MonkeyPatch, stand_in: HubStandIn) -> None:
    stand_in.cut_after, stand_in.cuts, stand_in.ranges = 1 << 20, 1, False
    assert (fetch(NET) / "net.bin").read_bytes() == BIG


def test_damage_is_refused_and_not_kept(stand_in: HubStandIn, tmp_path: Path) -> None:
    stand_in.damaged = True
    digest = NET.repositories[0].files[0].sha256
    with pytest.raises(ValueError, match=rf"net\.bin: what arrived has sha256 \w+, published is {digest}; it was del"):
        fetch(NET)
    assert hidden(tmp_path / "mert") == []
    assert find_weights("mert").revision == "unrecorded"
    stand_in.damaged = False
    assert (fetch(NET) / "net.bin").read_bytes() == BIG


def test_damage_of_what_a_kill_left_is_refused(stand_in: HubStandIn, tmp_path: Path) -> None:
    part = tmp_path / "mert" / f".net.bin.{NET.repositories[0].files[0].sha256[:12]}.part"
    for left in (b"x" * 100, b"x" * (len(BIG) + 1)):
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(left)
        with pytest.raises(ValueError, match="it was deleted, the same command fetches it again"):
            fetch(NET)
        assert not part.exists()
    fetch(NET)


def test_another_file_at_the_hub_is_not_even_fetched(stand_in: HubStandIn) -> None:
    other = published(big=BIG[::-1])
    with pytest.raises(ValueError, match=r"net\.bin: the hub has sha256 \w+, published is \w+; not fetched"):
        fetch(other)
    assert bodies(stand_in) == []


def test_another_file_in_the_folder_is_refused(stand_in: HubStandIn) -> None:
    folder = fetch(NET)
    (folder / "net.bin").write_bytes(BIG[::-1])
    with pytest.raises(ValueError, match=r"mert/net\.bin: has sha256 \w+, published is \w+; move it away and fetch"):
        fetch(NET)
    assert (folder / "net.bin").read_bytes() == BIG[::-1]


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    monkeypatch: pytest.MonkeyPatch, stand_in: HubStandIn
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(BIG)))
    with pytest.raises(ValueError, match=r"0\.00 GB are to come and 0\.00 GB are free; make room"):
        fetch(NET)
    assert bodies(stand_in) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(BIG) + 2 * len(SMALL)))
    fetch(NET)


def test_two_at_once_are_refused(stand_in: HubStandIn, tmp_path: Path) -> None:
    with alone_in(tmp_path / "mert"), pytest.raises(ValueError, match="another process is putting files there"):
        fetch(NET)
    fetch(NET)


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "GatedRepo", r"wants to know who asks \(401\): accept the terms on https://huggingface.co/someone/Net"),
        (403, "", r"wants to know who asks \(403\).*HF_TOKEN, or take the files from a folder: --from DIR"),
        (404, "RepoNotFound", "the hub answers 404"),
        (404, "EntryNotFound", "the hub has it no more"),
        (404, "RevisionNotFound", "the hub has it no more"),
        (500, "", "the hub answers 500; try again later"),
    ],
)
def test_what_the_hub_refuses_is_explained(stand_in: HubStandIn, status: int, code: str, message: str) -> None:
    stand_in.status, stand_in.error_code = status, code
    with pytest.raises(ValueError, match=message) as raised:
        fetch(NET)
    assert "\n" not in str(raised.value)


def test_a_commit_that_the_hub_lost(stand_in: HubStandIn) -> None:
    stand_in.shelves["someone/Net-330M"].commit = "c" * 40
    with pytest.raises(ValueError, match=r"net\.bin: the hub has it no more"):
        fetch(NET)


def test_an_unreachable_hub_is_said() -> None:
    with pytest.raises(ValueError, match=r"net\.bin: the hub cannot be reached .*--from DIR"):
        fetch(NET)


def test_offline_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"net\.bin: HF_HUB_OFFLINE forbids downloads; unset it, or take the files"):
        fetch(NET)


def test_a_disk_that_fails_is_not_taken_for_the_network(monkeypatch: pytest.MonkeyPatch, stand_in: HubStandIn) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hub.os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        fetch(NET)


def layouts(net: Publication, folder: Path) -> dict[str, dict[str, bytes]]:
    """Where the files may lie in a folder, by the kind of folder."""
    weights, words = net.repositories
    files = {"net.bin": BIG, "config.json": SMALL}
    cached = {
        f"{{}}models--someone--Net-330M/snapshots/{weights.revision}/{name}": data for name, data in files.items()
    }
    cached[f"{{}}models--words/snapshots/{words.revision}/config.json"] = SMALL[::-1]
    ours = files | {"words/config.json": SMALL[::-1]}
    return {
        "ours": ours,
        "root": {f"mert/{name}": data for name, data in ours.items()},
        "clones": {f"Net-330M/{name}": data for name, data in files.items()} | {"words/config.json": SMALL[::-1]},
        "cache": {name.format(""): data for name, data in cached.items()},
        "home": {name.format("hub/"): data for name, data in cached.items()},
    }


@pytest.mark.parametrize("kind", ["ours", "root", "clones", "cache", "home"])
def test_files_are_taken_from_a_folder(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "elsewhere"
    for name, data in layouts(NET, source)[kind].items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    folder = fetch(NET, source)
    assert (folder / "net.bin").read_bytes() == BIG
    assert (folder / "words/config.json").read_bytes() == SMALL[::-1]
    assert find_weights("mert").revision.startswith("Net-330M@aaa")
    assert hidden(folder) == []
    assert any(path.stat().st_ino == (folder / "net.bin").stat().st_ino for path in source.rglob("net.bin"))


def test_a_cache_of_links_is_followed(tmp_path: Path) -> None:
    source = tmp_path / "elsewhere"
    for name, data in layouts(NET, source)["cache"].items():
        blob, link = source / "blobs" / str(len(data)) / name.replace("/", "_"), source / name
        for path in (blob, link):
            path.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        link.symlink_to(blob)
    folder = fetch(NET, source)
    assert not (folder / "net.bin").is_symlink()
    assert (folder / "net.bin").read_bytes() == BIG


def test_a_disk_without_links_gets_copies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refused)
    source = tmp_path / "elsewhere"
    for name, data in layouts(NET, source)["ours"].items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    folder = fetch(NET, source)
    assert (folder / "net.bin").read_bytes() == BIG
    assert (folder / "net.bin").stat().st_ino != (source / "net.bin").stat().st_ino


def test_a_folder_without_the_files_or_with_others(tmp_path: Path) -> None:
    source = tmp_path / "elsewhere"
    source.mkdir()
    with pytest.raises(ValueError, match=r"from: someone/Net-330M: net\.bin is not in .*elsewhere, nor in a hub cache"):
        fetch(NET, source)
    (source / "net.bin").write_bytes(BIG[::-1])
    with pytest.raises(ValueError, match=r"net\.bin: published with sha256 \w+, but .*elsewhere/net\.bin has \w+"):
        fetch(NET, source)
    (source / "net.bin").write_bytes(BIG)
    with pytest.raises(ValueError, match=r"Net-330M: config\.json is not in"):
        fetch(NET, source)
    assert not (tmp_path / "mert/net.bin").exists()
    assert find_weights("mert").revision == "unrecorded"
