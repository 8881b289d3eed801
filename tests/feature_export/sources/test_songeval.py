"""SongEval: the drawn pairs are those of the definition, computed anew here; no song is in two splits."""

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from published_labels import AXES, write_jsonl, write_songeval

from feature_export.sources.song_pairs import draw_song_pairs
from feature_export.sources.song_split import split_songs
from feature_export.sources.songeval import read_songeval
from tunejury_jax.splits import read_split

ROOT = Path(__file__).parents[3]
SPLIT = ROOT.parent / "shared" / "data" / "splits" / "SongEval-balanced_split.json"
SONGS = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("songeval")
    write_songeval(root, SONGS)
    return root


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def number(song: str) -> int:
    return int("".join(filter(str.isdigit, song.removesuffix(".mp3").removeprefix("mp3/"))))


def published(ratings: dict[str, list[dict[str, int]]], seed: int, key: Any = None) -> list[tuple[str, str]]:
    """Winner and loser of each pair, as spec section 2 says it."""
    score = {s: mean([mean([float(r[axis]) for r in raters]) for axis in AXES]) for s, raters in ratings.items()}
    names, rng, chosen, seen = sorted(score, key=key), random.Random(seed), [], set()
    while len(chosen) < 3760:
        x, y = rng.sample(names, 2)
        if abs(score[x] - score[y]) < 0.5 or (x, y) in seen or (y, x) in seen:
            continue
        seen.add((x, y))
        chosen.append((x, y) if score[x] > score[y] else (y, x))
    return chosen


@pytest.mark.parametrize(("seed", "order", "key"), [(42, "name", None), (7, "name", None), (42, "number", number)])
def test_the_pairs_are_those_of_the_definition(tmp_path: Path, seed: int, order: str, key: Any) -> None:
    ratings = write_songeval(tmp_path, SONGS)
    pairs = read_songeval(tmp_path, seed=seed, song_order=order).pairs
    sides = [(p.audio_a, p.audio_b) if p.label == "a" else (p.audio_b, p.audio_a) for p in pairs]
    assert sides == published(ratings, seed, key)


def test_the_order_of_songs_matters(folder: Path) -> None:
    assert read_songeval(folder, song_order="number").pairs != read_songeval(folder).pairs
    with pytest.raises(ValueError, match="song_order: got 'x', accepted are 'name', 'number'"):
        read_songeval(folder, song_order="x")


def test_songs_without_numbers_have_no_order_by_number(tmp_path: Path) -> None:
    rows = [{"file_name": f"mp3/{name}.mp3", "annotation": [dict.fromkeys(AXES, 3)]} for name in ("1", "one")]
    write_jsonl(tmp_path / "metadata.jsonl", rows)
    with pytest.raises(ValueError, match=r"song_order: expected files named by numbers, got 'mp3/one\.mp3'"):
        read_songeval(tmp_path, song_order="number")


@pytest.mark.skipif(not SPLIT.is_file(), reason=f"the published split is not at {SPLIT}")
def test_the_published_split_is_one_of_such_pairs() -> None:
    """As far as ids tell: their form, range and number, and sizes that a split by song of such a drawing has."""
    stats = json.loads(SPLIT.read_text())["metadata"]["stats"]
    splits = read_split(SPLIT)
    assert splits.keys() <= {f"songeval_{n:06d}" for n in range(3760)}
    assert Counter(splits.values()) == {"train": 2491, "valid": 246, "test": 249}
    assert len(splits) + stats["dropped_pairs"] == 3760
    songs = [stats[f"{split}_songs"] for split in ("train", "valid", "test")]
    assert songs[1] == songs[2] == round(sum(songs) / 10)
    drawn = [(pair.song_a, pair.song_b) for pair in draw_song_pairs(like_published_scores(), 3760, 42)]
    ours = split_songs(drawn, 42)
    within = Counter(ours[one] for one, two in drawn if ours[one] == ours[two])
    assert abs(len(ours) - sum(songs)) < 40
    for split, count in Counter(splits.values()).items():
        assert abs(within[split] - count) < 0.05 * count


def like_published_scores() -> dict[str, float]:
    draw = random.Random(0)
    return {f"mp3/{n}.mp3": min(max(draw.gauss(3.0, 0.8), 1.0), 5.0) for n in range(2399)}


def test_ids_and_the_rest(folder: Path) -> None:
    reading = read_songeval(folder)
    assert [pair.id for pair in reading.pairs] == [f"songeval_{number:06d}" for number in range(3760)]
    assert {(p.source, p.prompt, p.span_a, p.split) for p in reading.pairs} == {("SongEval", "", None, None)}
    assert reading.counts == {"songs": SONGS, "songs in pairs": SONGS, "pairs drawn": 3760, "pairs without audio": 0}
    assert reading.audio_root == folder


def test_sides_are_chance_and_do_not_change_the_songs(folder: Path) -> None:
    pairs = read_songeval(folder).pairs
    assert 0.47 < Counter(pair.label for pair in pairs)["a"] / len(pairs) < 0.53
    assert read_songeval(folder).pairs == pairs
    assert read_songeval(folder, seed=43).pairs != pairs


def test_audio_that_is_not_there_changes_no_other_pair(tmp_path: Path, folder: Path) -> None:
    write_songeval(tmp_path, SONGS)
    (tmp_path / "mp3/0.mp3").unlink()
    reading, whole = read_songeval(tmp_path), read_songeval(folder)
    assert reading.pairs == [pair for pair in whole.pairs if "mp3/0.mp3" not in (pair.audio_a, pair.audio_b)]
    assert reading.missing == ["mp3/0.mp3"]
    assert reading.counts["pairs without audio"] == len(whole.pairs) - len(reading.pairs) > 0
    assert reading.own_splits == whole.own_splits


def test_a_gap_at_the_bound_counts_and_one_below_does_not() -> None:
    (pair,) = draw_song_pairs({"x": 2.0, "y": 2.5}, 1, 0)
    assert {pair.song_a, pair.song_b} == {"x", "y"}
    with pytest.raises(ValueError, match=r"songs: 0 pairs of the 2 songs differ by 0\.5 or more, 1 are to be drawn"):
        draw_song_pairs({"x": 2.0, "y": 2.4999999}, 1, 0)


def test_every_pair_there_is_can_be_drawn() -> None:
    scores = {str(number): float(number) for number in range(8)}
    drawn = draw_song_pairs(scores, 28, 0)
    assert len({frozenset((pair.song_a, pair.song_b)) for pair in drawn}) == 28
    assert all((scores[pair.song_a] > scores[pair.song_b]) == (pair.label == "a") for pair in drawn)
    with pytest.raises(ValueError, match="28 pairs of the 8 songs differ"):
        draw_song_pairs(scores, 29, 0)


def test_the_mean_is_over_raters_and_then_over_axes(tmp_path: Path) -> None:
    """Raters are as many on every axis, so only the order of rounding could differ: axes must all count."""
    low = [dict.fromkeys(AXES, 3)] * 2
    rows: list[dict[str, Any]] = [{"file_name": f"mp3/{n}.mp3", "annotation": low} for n in range(80)]
    raised = [dict.fromkeys(AXES, 3) | {"Naturalness": 5}, dict.fromkeys(AXES, 3) | {"Coherence": 5, "Clarity": 4}]
    rows += [{"file_name": f"mp3/high{n}.mp3", "annotation": raised} for n in range(80)]
    (tmp_path / "mp3").mkdir()
    for row in rows:
        (tmp_path / row["file_name"]).touch()
    write_jsonl(tmp_path / "metadata.jsonl", rows)
    pairs = read_songeval(tmp_path).pairs
    assert all("high" in (pair.audio_a if pair.label == "a" else pair.audio_b) for pair in pairs)
    assert all("high" not in (pair.audio_b if pair.label == "a" else pair.audio_a) for pair in pairs)


def random_pairs(songs: int, count: int) -> list[tuple[str, str]]:
    draw = random.Random(0)
    return [(str(one), str(two)) for one, two in (draw.sample(range(songs), 2) for _ in range(count))]


def test_songs_are_split_as_many_as_published() -> None:
    ring = [(str(number), str((number + 1) % 2301)) for number in range(2301)]
    assert Counter(split_songs(ring, 42).values()) == {"train": 1841, "valid": 230, "test": 230}


def test_fewer_pairs_fall_between_splits_than_by_chance() -> None:
    pairs = random_pairs(2399, 3760)
    splits = split_songs(pairs, 42)
    within = sum(splits[one] == splits[two] for one, two in pairs) / len(pairs)
    assert within > 0.66 + 0.08  # .8^2 + 2 * .1^2 is what songs drawn one by one leave
    for split in ("valid", "test"):
        assert sum(splits[one] == splits[two] == split for one, two in pairs) > 150
    assert split_songs(pairs, 42) == splits
    assert split_songs(pairs, 43) != splits


def test_another_process_splits_alike() -> None:
    """Sets of strings have another order in each process."""
    code = "from feature_export.sources.song_split import split_songs as s; import sys; print(s(eval(sys.argv[1]), 0))"
    command = [sys.executable, "-c", code, repr(random_pairs(40, 60))]
    shown = {
        subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True).stdout
        for seed in ("1", "2")
    }
    assert shown == {f"{split_songs(random_pairs(40, 60), 0)}\n".encode()}


def test_the_own_split_is_that_of_both_songs(folder: Path) -> None:
    reading = read_songeval(folder)
    songs = {split: set() for split in ("train", "valid", "test")}
    for pair in reading.pairs:
        if (split := reading.own_splits[pair.id]) != "none":
            songs[split] |= {pair.audio_a, pair.audio_b}
    assert not songs["train"] & songs["valid"]
    assert not songs["train"] & songs["test"]
    assert not songs["valid"] & songs["test"]
    assert [len(songs[split]) for split in songs] == [160, 20, 20]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotation": []}, "annotation: expected a list with the ratings of at least one rater, got []"),
        ({"annotation": {"Coherence": 1}}, "annotation: expected a list with the ratings of at least one rater"),
        ({"annotation": [dict.fromkeys(AXES, 6)]}, "row 2, rater 1: Coherence: expected a number from 1 to 5, got 6"),
        ({"annotation": [dict.fromkeys(AXES, "4")]}, "rater 1: Coherence: expected a number from 1 to 5, got '4'"),
        ({"annotation": [dict.fromkeys(AXES[:4], 4)]}, "row 2, rater 1: Naturalness: missing, got only ["),
        ({"file_name": "mp3/0.mp3"}, "row 2: file_name: 'mp3/0.mp3' occurs twice, first in "),
        ({"file_name": None}, "row 2: file_name: expected a non-empty string, got None"),
    ],
)
def test_a_song_that_is_not_as_published(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    row = {"file_name": "mp3/0.mp3", "annotation": [dict.fromkeys(AXES, 3)]}
    write_jsonl(tmp_path / "metadata.jsonl", [row, row | {"file_name": "mp3/1.mp3"} | change])
    with pytest.raises(ValueError, match=re.escape(message)):
        read_songeval(tmp_path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "mp3\\..\\x.mp3"])
def test_a_song_outside_the_folder(tmp_path: Path, name: str) -> None:
    ratings = write_songeval(tmp_path, SONGS)
    rows = [{"file_name": song, "annotation": given} for song, given in ratings.items()]
    write_jsonl(tmp_path / "metadata.jsonl", [rows[0] | {"file_name": name}, *rows[1:]])
    with pytest.raises(ValueError, match=r"audio_[ab]: expected a path below the audio root"):
        read_songeval(tmp_path)


def test_scores_spread(folder: Path) -> None:
    """The test data has gaps on both sides of the bound, else the definition would not be tested."""
    draw = [(p.audio_a, p.audio_b) for p in read_songeval(folder).pairs]
    assert median(Counter(song for pair in draw for song in pair).values()) < SONGS / 2
