"""Music Arena: both schemas give the same pairs, the benchmark's battles are left out, all are accounted for."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from published_labels import MONTH, battle, bench_row, raw_battle, uuid, write_battles, write_jsonl

from feature_export.sources.bench import bench_battles
from feature_export.sources.music_arena import read_music_arena
from tunejury_jax.pairs import Pair

VOTES = ["A", "B", "TIE", "BOTH_BAD", None]
PAIR = Pair(
    id=uuid(0),
    source="MusicArena",
    audio_a=f"audio_files/{MONTH}/original-{0:032x}-{uuid(0)}-a.mp3",
    audio_b=f"audio_files/{MONTH}/original-{0:032x}-{uuid(0)}-b.mp3",
    label="a",
    prompt="prompt 0",
    system_a="sonauto-v2-2",
    system_b="acestep",
    rater="someone",
    time="2025-07-28T19:00:00",
)


def battles(*records: dict[str, Any]) -> list[dict[str, Any]]:
    return list(records)


def test_a_published_battle(tmp_path: Path) -> None:
    reading = read_music_arena(write_battles(tmp_path, [battle(0)]))
    assert reading.pairs == [PAIR]
    assert (reading.source, reading.audio_root, reading.missing) == ("MusicArena", tmp_path, [])


def test_a_raw_log_gives_the_same_pair(tmp_path: Path) -> None:
    reading = read_music_arena(write_battles(tmp_path, [raw_battle(0)]))
    assert reading.pairs == [replace(PAIR, rater=None, time="2025-07-28T19:00:00+00:00")]


def test_the_typed_prompt_stands_in_where_a_raw_log_has_no_other(tmp_path: Path) -> None:
    record = raw_battle(0) | {"prompt_detailed": None}
    assert read_music_arena(write_battles(tmp_path, [record])).pairs[0].prompt == "as typed"


def test_every_battle_is_accounted_for(tmp_path: Path) -> None:
    records = [battle(n, vote) for n, vote in enumerate(VOTES)]
    records += [battle(5, audio_a=""), battle(6, None, audio_b=""), battle(7), raw_battle(8) | {"vote": None}]
    records += [raw_battle(9) | {"b_audio_url": None}]
    write_battles(tmp_path, records)
    bench = write_jsonl(
        tmp_path / "bench.jsonl", [{"source": "PAM (music)"}, bench_row(1), bench_row(7), bench_row(77)]
    )
    reading = read_music_arena(tmp_path, bench=bench)
    assert {pair.id: pair.label for pair in reading.pairs} == {uuid(0): "a", uuid(2): "tie", uuid(3): "both_bad"}
    assert reading.counts == {
        "raw": 10,
        "no vote": 3,
        "audio not public": 2,
        "decisive": 3,
        "matched": 2,
        "kept": 3,
        "benchmark battles": 3,
        "benchmark battles not here": 1,
        "pairs without audio": 0,
    }


def test_without_a_benchmark_all_are_kept(tmp_path: Path) -> None:
    reading = read_music_arena(write_battles(tmp_path, [battle(n) for n in range(3)]))
    assert [reading.counts[name] for name in ("raw", "matched", "kept")] == [3, 0, 3]
    assert reading.counts["benchmark battles"] == 0


def test_audio_that_is_not_there_is_counted(tmp_path: Path) -> None:
    write_battles(tmp_path, [battle(n) for n in range(3)])
    (tmp_path / PAIR.audio_b).unlink()
    reading = read_music_arena(tmp_path)
    assert [pair.id for pair in reading.pairs] == [uuid(1), uuid(2)]
    assert reading.missing == [PAIR.audio_b]
    assert (reading.counts["kept"], reading.counts["pairs without audio"]) == (3, 1)


def test_a_path_that_names_its_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    write_battles(tmp_path, [battle(0) | {"audio_a": PAIR.audio_a}])
    assert read_music_arena(tmp_path).pairs == [PAIR]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (battle(0, "C"), "preference: got 'C', accepted are 'A', 'B', 'TIE', 'BOTH_BAD'"),
        (battle(0, "a"), "preference: got 'a', accepted are"),
        (battle(0, audio_a="../x/y.mp3"), "audio_a: expected a path below the audio root"),
        (battle(0, prompt=3), "prompt: expected a string or null, got 3"),
        (battle(0, system_a=None), "system_a: expected a non-empty string, got None"),
        (battle(0, timestamp=[1]), "timestamp: expected text or seconds since 1970, got [1]"),
        (battle(0, timestamp=1e300), "timestamp: expected text or seconds since 1970, got 1e+300"),
        ({k: v for k, v in battle(0).items() if k != "preference"}, "preference: missing, got only ["),
        ({"id": 1}, "prompt_detailed: missing, got only ['id']"),
        (raw_battle(0) | {"vote": {}}, "preference: missing, got only []"),
        (raw_battle(0) | {"vote": "A"}, "vote.preference: expected an object around it, got 'A'"),
        (raw_battle(0) | {"a_metadata": {"system_key": None}}, "system_a: expected a non-empty string, got None"),
        (raw_battle(0) | {"a_audio_url": 3}, "a_audio_url: expected a URL or null, got 3"),
        (raw_battle(0, "D"), "preference: got 'D', accepted are"),
    ],
)
def test_a_battle_that_is_not_as_published(tmp_path: Path, record: dict[str, Any], message: str) -> None:
    write_battles(tmp_path, [battle(1), record])
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_music_arena(tmp_path)
    assert f"{tmp_path}/battle_data/{MONTH}/" in str(error.value)


def test_a_battle_that_occurs_twice(tmp_path: Path) -> None:
    write_battles(tmp_path, [battle(0)])
    (tmp_path / "battle_data" / MONTH / "copy.json").write_text(json.dumps(battle(0)))
    with pytest.raises(
        ValueError, match=rf"copy\.json: battle_uuid: '{uuid(0)}' occurs twice, first in .*{uuid(0)}\.json"
    ):
        read_music_arena(tmp_path)


def test_a_battle_that_is_not_json(tmp_path: Path) -> None:
    write_battles(tmp_path, [battle(0)])
    (tmp_path / "battle_data" / MONTH / "x.json").write_text("{")
    with pytest.raises(ValueError, match=r"x\.json: not JSON"):
        read_music_arena(tmp_path)


def test_a_folder_without_battles(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no battle_data/<month>/\*\.json"):
        read_music_arena(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [bench_row(1) | {"audio2": "x-a.mp3", "audio-path": "y.mp3"}],
            "row 1: audio-path: expected a name that ends in",
        ),
        (
            [bench_row(1) | {"audio2": bench_row(2)["audio2"]}],
            "row 1: audio-path: expected .* with the same uuid in audio2",
        ),
        ([bench_row(1), bench_row(1)], "row 2: battle uuid: '.*' occurs twice, first in .*, row 1"),
        ([{"source": "PAM (music)"}], "source: no row contains 'Music Arena'"),
        ([{"audio2": "x"}], "row 1: source: missing"),
    ],
)
def test_a_benchmark_that_is_none(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bench_battles(write_jsonl(tmp_path / "all_test.jsonl", rows))
