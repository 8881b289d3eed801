"""The pool of the four sources: the published counts from files of the published size, one audio root, no silence."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from published_labels import battle, full_pool, uuid, write_all, write_battles

from feature_export.sources import songeval
from feature_export.sources.pairs_file import make_pairs
from feature_export.sources.pool import COLUMNS, MEMBERS, compare, pool
from feature_export.sources.song_pairs import SongPair
from tunejury_jax.pairs import Pair, read_pairs

SPLITS = Path(__file__).parents[4] / "shared" / "data" / "splits"
PUBLISHED = """
                                         train           valid            test   decisive test
MusicArena                                 571              54              74              20
MusicPrefs                                2012             251             252             206
AIME                                     12480            1560            1560            1560
SongEval                                  2491             246             249             249
all                                      17554            2111            2135            2035
without MusicArena                       16983
without MusicPrefs                       15542
without AIME                              5074
without SongEval                         15063
without SongEval, MusicArena             14492
without MusicPrefs, MusicArena           14971
as published
"""


def write_splits(folder: Path, songs: bool = False) -> Path:
    """Lists of the ids of `write_all`, pair n in split n % 3."""
    ids = {
        "MusicArena-random_split_bench_clean": [uuid(n) for n in range(4)],
        "MusicPrefs-random_split": [f"prefs_{n:06d}" for n in range(4)],
        "AIME-random_split": [f"aime_{n:06d}" for n in range(4)],
    }
    folder.mkdir(exist_ok=True)
    for name, listed in ids.items():
        lists = {split: listed[n::3] for n, split in enumerate(("train", "valid", "test"))}
        (folder / f"{name}.json").write_text(json.dumps({"metadata": {}, **lists}))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pool")
    write_all(root / "data")
    write_splits(root / "splits")
    return root


@pytest.mark.slow
@pytest.mark.skipif(not SPLITS.is_dir(), reason=f"the published splits are not at {SPLITS}")
def test_the_published_counts_are_reproduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels of exactly the published ids. The ratings of SongEval cannot be made up so that their pairs fit the
    published split, so the drawing is replaced by one that fits; what it is drawn from is tested in test_songeval."""
    songs = full_pool(tmp_path / "data", SPLITS)
    monkeypatch.setattr(songeval, "draw_song_pairs", lambda *_: [SongPair(a, b, "a") for a, b in songs])
    report = make_pairs("all", {"data": tmp_path / "data"}, tmp_path / "pairs.jsonl", SPLITS, strict=True)
    assert PUBLISHED.strip("\n") in capsys.readouterr().err
    assert all(row["found"] == row["published"] for row in report["table"])
    for part in report["sources"].values():
        ids = part["split ids"]
        assert (ids["missing"], ids["found"]) == (0, sum(part["splits"].get(s, 0) for s in ("train", "valid", "test")))
    assert report["sources"]["songeval"]["clips"] == {"test": 230, "train": 1841, "valid": 230}
    pairs = read_pairs(tmp_path / "pairs.jsonl")
    assert list(dict.fromkeys(pair.source for pair in pairs)) == ["MusicArena", "MusicPrefs", "AIME", "SongEval"]
    assert len({pair.id for pair in pairs}) == 699 + 2515 + 15600 + 3760


def test_one_row_that_is_not_there_is_marked(small: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    make_pairs("all", {"data": small / "data"}, tmp_path / "pairs.jsonl", small / "splits")
    shown = capsys.readouterr()
    assert shown.out == f"{tmp_path / 'pairs.jsonl'}\n"
    assert f"MusicArena{'2 ≠ 571':>36}{'1 ≠ 54':>16}{'1 ≠ 74':>16}{'1 ≠ 20':>16}\n" in shown.err
    assert shown.err.endswith("11 rows differ from the published counts: found ≠ published\n")
    assert "source: AIME\n" in shown.err
    assert "sources not there: -\n" in shown.err


def test_every_clip_is_below_the_audio_root(small: Path, tmp_path: Path) -> None:
    root = tmp_path / "audio"
    options = {"data": small / "data", "audio_out": root}
    for _ in range(2):  # a second run finds what the first one made
        made = pool(options, small / "splits", True, False)
    assert made.report["audio_root"] == str(root)
    assert all((root / path).is_file() for pair in made.pairs for path in (pair.audio_a, pair.audio_b))
    assert sorted(path.name for path in root.iterdir()) == sorted(MEMBERS)
    assert (root / "songeval").is_symlink()
    assert (root / "songeval").resolve() == small / "data" / "songeval"


def test_the_data_may_be_the_audio_root(tmp_path: Path) -> None:
    data, splits = write_all(tmp_path / "data"), write_splits(tmp_path / "splits")
    made = pool({"data": data, "audio_out": data}, splits, True, False)
    assert all((data / path).is_file() for pair in made.pairs for path in (pair.audio_a, pair.audio_b))
    assert not any(path.is_symlink() for path in data.iterdir())


def test_another_thing_at_the_place_of_a_link_is_kept(small: Path, tmp_path: Path) -> None:
    (tmp_path / "songeval").mkdir()
    with pytest.raises(FileExistsError):
        pool({"data": small / "data", "audio_out": tmp_path}, small / "splits", False, False)


def test_a_source_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = write_splits(tmp_path / "splits")
    write_battles(tmp_path / "data" / "music-arena", [battle(n) for n in range(4)])
    options = {"data": tmp_path / "data"}
    message = r"has no musicprefs, aime, songeval; --partial takes those that are there$"
    with pytest.raises(ValueError, match=message):
        make_pairs("all", options, tmp_path / "pairs.jsonl", splits)
    assert not (tmp_path / "pairs.jsonl").exists()
    report = make_pairs("all", options, tmp_path / "pairs.jsonl", splits, partial=True)
    assert report["not there"] == ["musicprefs", "aime", "songeval"]
    shown = capsys.readouterr().err
    assert "sources not there: musicprefs, aime, songeval\n" in shown
    assert f"AIME{'0 ≠ 12480':>42}" in shown
    with pytest.raises(ValueError, match=r"has no music-arena, musicprefs, aime, songeval$"):
        make_pairs("all", {"data": splits}, tmp_path / "pairs.jsonl", splits, partial=True)


def test_a_list_that_is_not_there(small: Path, tmp_path: Path) -> None:
    splits = write_splits(tmp_path / "splits")
    (splits / "AIME-random_split.json").unlink()
    with pytest.raises(ValueError, match=r"splits: .*: expected one file AIME-\*split\*\.json, found \[\]"):
        pool({"data": small / "data"}, splits, False, False)


@pytest.mark.parametrize(
    ("more", "splits", "message"),
    [
        ({"question": "musicality"}, True, "option of source all: got 'question', accepted are 'data', 'bench', "),
        ({"audio": Path("x")}, True, "option of source all: got 'audio', accepted are 'data'"),
        ({}, False, "splits: source all needs the folder of the published split files"),
    ],
)
def test_options_that_do_not_fit_the_pool(small: Path, more: dict[str, Any], splits: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pool({"data": small / "data"} | more, small / "splits" if splits else None, False, False)


def test_what_is_counted() -> None:
    """Ties count as pairs, and not as decisive; other splits and other sources do not count at all."""
    rows = {row.name: row.found for row in compare(list(sample()))}
    assert rows["AIME"] == (1, 0, 3, 2)
    assert rows["SongEval"] == (2, 0, 0, 0)
    assert rows["all"] == (3, 0, 3, 2)
    assert rows["without AIME"] == (2,)
    assert rows["without SongEval, MusicArena"] == (1,)
    assert all(len(row.published) in (1, len(COLUMNS)) for row in compare([]))


def sample() -> Iterator[Pair]:
    facts = [("train", "a"), ("test", "a"), ("test", "b"), ("test", "tie"), ("none", "a")]
    yield from (Pair(f"a{n}", "AIME", "x", "y", label, split=s) for n, (s, label) in enumerate(facts))  # type: ignore[arg-type]
    yield from (Pair(f"s{n}", "SongEval", "x", "y", "both_bad", split="train") for n in range(2))
    yield Pair("f", "folder", "x", "y", "a", split="train")
