"""`feature_export pairs`: every source into a planned store; splits, reports, and what is refused."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import tyro
from published_labels import (
    aime_survey,
    battle,
    bench_row,
    cmi_row,
    sound,
    uuid,
    write_aime,
    write_battles,
    write_csv,
    write_jsonl,
    write_musicprefs,
    write_songeval,
)

from feature_export.__main__ import Command, Pairs, main
from feature_export.sources import SOURCES
from tunejury_jax.pairs import SPLITS, read_pairs
from tunejury_jax.store import FeatureStore

ROOT = Path(__file__).parents[3]
OUTCOMES = ["a_wins", "b_wins", "tie"]


def run(*arguments: Any) -> int:
    return main(tyro.cli(Command, args=[str(argument) for argument in arguments]))  # type: ignore[arg-type]


def music_arena(root: Path) -> list[Any]:
    write_battles(root / "ma", [battle(n) for n in range(4)])
    bench = write_jsonl(root / "ma" / "all_test.jsonl", [bench_row(1)])
    return ["--source", "music-arena", "--data", root / "ma", "--bench", bench]


def musicprefs(root: Path) -> list[Any]:
    write_musicprefs(root / "mp", OUTCOMES)
    return ["--source", "musicprefs", "--data", root / "mp", "--audio-out", root / "clips"]


def aime(root: Path) -> list[Any]:
    data, audio = write_aime(root, aime_survey(4))
    return ["--source", "aime", "--data", data, "--audio", audio, "--audio-out", root / "clips"]


def songeval(root: Path) -> list[Any]:
    write_songeval(root / "se", 200)
    return ["--source", "songeval", "--data", root / "se", "--seed", 42]


def cmi_pref(root: Path) -> list[Any]:
    write_jsonl(root / "cmi" / "data" / "all_test.jsonl", [cmi_row(0), cmi_row(2)])
    audio = root / "cmi" / "cmi-pref" / "gen-audio"
    audio.mkdir(parents=True)
    for number in range(4):
        (audio / f"{number:08x}.mp3").touch()
    return ["--source", "cmi-pref", "--data", root / "cmi", "--question", "alignment"]


def folder(root: Path) -> list[Any]:
    for name in "ab":
        (root / f"{name}.wav").write_bytes(sound(ord(name)))
    rows = [{"audio_a": "a.wav", "audio_b": "b.wav", "label": "a", "prompt": "p"}]
    return ["--source", "folder", "--data", write_csv(root / "labels.csv", rows)]


EXAMPLES: dict[str, tuple[Callable[[Path], list[Any]], str, int]] = {
    "music-arena": (music_arena, "MusicArena", 3),
    "musicprefs": (musicprefs, "MusicPrefs", 3),
    "aime": (aime, "AIME", 4),
    "songeval": (songeval, "SongEval", 3760),
    "cmi-pref": (cmi_pref, "CMI-Pref", 2),
    "folder": (folder, "folder", 1),
}


def test_every_source_has_an_example_and_a_place_on_the_command_line() -> None:
    assert (*SOURCES, "all") == (*EXAMPLES, "all") == get_args(Pairs.__annotations__["source"])


@pytest.mark.parametrize("source", list(EXAMPLES))
def test_every_source_into_a_planned_store(tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str) -> None:
    write, name, count = EXAMPLES[source]
    arguments, out = write(tmp_path), tmp_path / "made" / "pairs.jsonl"
    assert run("pairs", *arguments, "--out", out, "--report", tmp_path / "report.json", "--strict") == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out}\n"
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["source"], report["pairs"]) == (name, count)
    assert f"pairs: {count}\n" in shown.err
    assert all(f"{key} {value}" in shown.err for key, value in report["counts"].items())
    assert run("plan", "--pairs", out, "--out", tmp_path / "store") == 0
    store = FeatureStore.open(str(tmp_path / "store"))
    records = list(store.pair_records())
    assert {record["pair_id"] for record in records} == {pair.id for pair in read_pairs(out)}
    assert {clip.source for clip in store.clips()} == {name}
    root = Path(report["audio_root"])
    assert all((root / path).is_file() for pair in read_pairs(out) for path in (pair.audio_a, pair.audio_b))
    assert list(out.parent.iterdir()) == [out]


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    arguments = [*aime(tmp_path), "--out", tmp_path / "pairs.jsonl", "--report", tmp_path / "report.json"]
    files = (tmp_path / "pairs.jsonl", tmp_path / "report.json")
    run("pairs", *arguments)
    before = [file.read_text() for file in files]
    run("pairs", *arguments)
    assert files[0].read_text() == before[0]
    counts = [json.loads(text)["counts"] for text in (before[1], files[1].read_text())]
    assert counts[0] | {"clips written": 0, "clips found written": 4} == counts[1]


def test_spans_of_extracted_clips_are_encoded(tmp_path: Path) -> None:
    survey = aime_survey(4)
    for row in survey:
        row |= {"track-1-end": "00:00:01", "track-2-begin": "00:00:01", "track-2-end": "00:00:02"}
    data, audio = write_aime(tmp_path, survey, seconds=2)
    clips, pairs = tmp_path / "clips", tmp_path / "pairs.jsonl"
    run("pairs", "--source", "aime", "--data", data, "--audio", audio, "--audio-out", clips, "--out", pairs)
    assert run("export", "--pairs", pairs, "--audio-root", clips, "--out", tmp_path / "store") == 0
    store = FeatureStore.open_sealed(str(tmp_path / "store"))
    assert "AIME/00000.wav#t=1,2" in {clip.key for clip in store.clips()}
    assert not store.failures("signal")


def write_split(path: Path, **ids: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"metadata": {}, "train": [], "valid": [], "test": []} | ids))
    return path


def made(tmp_path: Path, *arguments: Any) -> tuple[dict[str, Any], dict[str, str | None]]:
    """The report, and the split of each pair."""
    out, report = tmp_path / "pairs.jsonl", tmp_path / "report.json"
    assert run("pairs", *arguments, "--out", out, "--report", report) == 0
    return json.loads(report.read_text()), {pair.id: pair.split for pair in read_pairs(out)}


@pytest.mark.parametrize("whole_folder", [True, False])
def test_splits_by_published_ids_with_their_coverage(tmp_path: Path, whole_folder: bool) -> None:
    file = tmp_path / "splits" / "MusicArena-random_split_bench_clean.json"
    write_split(file, train=[uuid(0), uuid(99)], test=[uuid(3)])
    write_split(tmp_path / "splits" / "AIME-random_split.json", train=["aime_000000"])
    (tmp_path / "splits" / "MusicArena_v2_increment.json").write_text('{"new_uuids": []}')
    report, splits = made(tmp_path, *music_arena(tmp_path), "--splits", file.parent if whole_folder else file)
    assert splits == {uuid(0): "train", uuid(2): "none", uuid(3): "test"}
    assert report["split ids"] == {"found": 2, "missing": 1, "extra": 1}
    assert report["splits"] == {"none": 1, "test": 1, "train": 1}
    assert report["clips"] == {"test": 2, "train": 2}


def test_a_clip_in_two_splits_is_counted(tmp_path: Path) -> None:
    split = write_split(tmp_path / "s.json", train=["prefs_000000"], test=["prefs_000001"])
    report, _ = made(tmp_path, *musicprefs(tmp_path), "--splits", split)
    assert report["clips in two splits"] == 1


def test_without_a_list_most_sources_say_nothing_of_splits(tmp_path: Path) -> None:
    report, splits = made(tmp_path, *musicprefs(tmp_path))
    assert set(splits.values()) == {None}
    assert (report["splits"], report["split ids"], report["clips"]) == ({"None": 3}, {}, {})


def test_songeval_is_split_by_song(tmp_path: Path) -> None:
    report, splits = made(tmp_path, *songeval(tmp_path))
    assert report["clips"] == {"test": 20, "train": 160, "valid": 20}
    assert report["clips in two splits"] == 0
    assert set(splits.values()) == set(SPLITS)


def test_a_song_list_that_splits_songs_is_refused(tmp_path: Path) -> None:
    arguments = songeval(tmp_path)
    own = made(tmp_path, *arguments)[1]
    ids = {split: [pair_id for pair_id, given in own.items() if given == split] for split in ("train", "valid", "test")}
    assert made(tmp_path, *arguments, "--splits", write_split(tmp_path / "own.json", **ids))[1] == own
    other = write_split(tmp_path / "other.json", **ids)
    with pytest.raises(
        ValueError, match=r"other\.json: \d+ clips are in two of its splits, expected none: it lists other"
    ):
        made(tmp_path, *arguments[:-1], 43, "--splits", other)


def test_listed_audio_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = musicprefs(tmp_path)
    (tmp_path / "mp/data/train-00001-of-00002.parquet").unlink()
    rows = [{"audio_a": "clip_0.wav", "audio_b": name, "musicality": "a_wins"} for name in ("clip_2.wav", "clip_1.wav")]
    write_csv(tmp_path / "mp/human_preference.csv", rows)
    with pytest.raises(ValueError, match=r"^audio: 1 clips are listed and not there, first 'clip_1\.wav'$"):
        made(tmp_path, *arguments, "--strict")
    assert not (tmp_path / "pairs.jsonl").exists()
    report, splits = made(tmp_path, *arguments)
    assert list(splits) == ["prefs_000000"]
    assert report["missing audio"] == {"clips": 1, "first": ["clip_1.wav"]}
    assert "missing audio: clips 1, first ['clip_1.wav']\n" in capsys.readouterr().err


def test_audio_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    arguments = folder(tmp_path)
    with pytest.raises(ValueError, match=r"audio: 2 clips are listed and not there, first 'a\.wav', 'b\.wav'"):
        made(tmp_path, *arguments, "--audio", tmp_path / "elsewhere")


def test_labels_of_which_nothing_is_left(tmp_path: Path) -> None:
    write_battles(tmp_path / "ma", [battle(0, None)])
    with pytest.raises(ValueError, match=r"MusicArena: no pairs left; found .*'no vote': 1"):
        made(tmp_path, "--source", "music-arena", "--data", tmp_path / "ma")


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        ("folder", ["--bench", "x"], "option of source folder: got 'bench', accepted are 'data', 'audio'"),
        (
            "songeval",
            ["--question", "x"],
            "option of source songeval: got 'question', accepted are 'data', 'seed', 'song_order'",
        ),
        ("music-arena", ["--seed", "1"], "option of source music-arena: got 'seed', accepted are 'data', 'bench'"),
        ("aime", [], "audio: source aime needs it"),
        ("folder", ["--splits", "/nowhere/x.json"], "/nowhere/x.json"),
        ("folder", ["--partial"], "partial: is of source 'all', got source 'folder'"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, source: str, more: list[str], message: str) -> None:
    data = folder(tmp_path)[-1]
    with pytest.raises((ValueError, OSError), match=re.escape(message)):
        made(tmp_path, "--source", source, "--data", data, *more)
    assert not (tmp_path / "pairs.jsonl").exists()


def test_a_folder_of_splits_without_the_sources(tmp_path: Path) -> None:
    write_split(tmp_path / "splits" / "AIME-random_split.json", train=["aime_000000"])
    with pytest.raises(ValueError, match=r"expected one file folder-\*split\*\.json, found \[\]; name the file"):
        made(tmp_path, *folder(tmp_path), "--splits", tmp_path / "splits")


def test_a_list_of_which_no_id_is_a_pairs(tmp_path: Path) -> None:
    split = write_split(tmp_path / "s.json", train=["aime_000000", "aime_000001"])
    message = (
        r"s\.json: none of its ids is a pair's: it lists \['aime_000000', 'aime_000001'\]\.\.\., the pairs are "
        r"\['prefs_000000', 'prefs_000001', 'prefs_000002'\]\.\.\.$"
    )
    with pytest.raises(ValueError, match=message):
        made(tmp_path, *musicprefs(tmp_path), "--splits", split)
    assert not (tmp_path / "pairs.jsonl").exists()


def test_songs_are_split_anew_where_the_folder_of_splits_has_no_list_of_them(tmp_path: Path) -> None:
    write_split(tmp_path / "splits" / "AIME-random_split.json", train=["aime_000000"])
    arguments = songeval(tmp_path)
    assert made(tmp_path, *arguments, "--splits", tmp_path / "splits") == made(tmp_path, *arguments)


def test_a_list_and_records_that_disagree(tmp_path: Path) -> None:
    split = write_split(tmp_path / "s.json", train=["cmipref_000000"])
    with pytest.raises(ValueError, match="pair 'cmipref_000000' is in 'test' by its record and in 'train' by the list"):
        made(tmp_path, *cmi_pref(tmp_path), "--splits", split)


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run("pairs", "--help")
    shown = capsys.readouterr().out
    options = (
        "source",
        "data",
        "out",
        "audio",
        "audio-out",
        "bench",
        "question",
        "prompt-column",
        "seed",
        "splits",
        "partial",
    )
    assert left.value.code == 0
    assert all(f"--{option}" in shown for option in (*options, "report", "strict"))
    assert all(source in shown for source in SOURCES)


def test_for_real(tmp_path: Path) -> None:
    arguments = [str(argument) for argument in folder(tmp_path)]
    command = [sys.executable, "-m", "feature_export", "pairs", *arguments, "--out", str(tmp_path / "pairs.jsonl")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'pairs.jsonl'}\n")
    (tmp_path / "labels.csv").write_text("audio_a,audio_b,label\na.wav,b.wav,left\n")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    reason = f"{tmp_path / 'labels.csv'}, row 1: label: got 'left', accepted are 'a', 'b', 'tie', 'both_bad'"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"python -m feature_export: error: {reason}")


def test_a_written_pair_is_read_back_as_it_was_made(tmp_path: Path) -> None:
    made(tmp_path, *folder(tmp_path))
    (pair,) = read_pairs(tmp_path / "pairs.jsonl")
    assert pair == replace(pair, id="folder_000000", audio_a="a.wav", audio_b="b.wav", label="a", prompt="p")
