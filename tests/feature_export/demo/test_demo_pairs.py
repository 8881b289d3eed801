"""Pairs and files: no song in two splits, a listener who errs at the stated rate, and whole files after any rerun."""

from collections import Counter, defaultdict
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import soundfile
from scipy.stats import binomtest

from feature_export.demo import DemoConfig, write_demo
from feature_export.demo.damage import RUNGS
from feature_export.demo.dataset import demo_pairs, demo_takes
from feature_export.demo.song import describe, draw_song
from tunejury_jax.pairs import read_pairs

DEFAULT = DemoConfig()
SMALL = DemoConfig(songs=16, damaged_per_song=3, duration_s=0.5)
DECIDED = ("a", "b")


@pytest.fixture(scope="module")
def pairs():
    return demo_pairs(DEFAULT)


def of_source(pairs, source):
    return [pair for pair in pairs if pair.source == source]


def song(path):
    return int(path.removeprefix("song-")[:4])


def rung(system):
    return 0 if system == "clean" else int(system[-1])


@cache
def descriptions(number):
    return {describe(draw_song(DEFAULT.seed, number), wording) for wording in (0, 1)}


def describes(prompt, path):
    return prompt in descriptions(song(path))


def truth(pair):
    """What a listener who never errs would say, from the records alone."""
    if pair.question == "prompt":
        return "a" if describes(pair.prompt, pair.audio_a) else "b"
    a, b = rung(pair.system_a), rung(pair.system_b)
    if a == b:
        return "both_bad" if a == RUNGS else "tie"
    return "a" if a < b else "b"


def near(count, total, share):
    """Whether `count` of `total` is what chance would give at this share."""
    return binomtest(count, total, share).pvalue > 1e-4


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_default_is_large_enough(pairs):
    sizes = Counter(pair.split for pair in pairs)
    assert 1500 <= sizes["train"] <= 2500
    assert sizes["test"] >= 300
    bytes_written = len(demo_takes(DEFAULT, pairs)) * DEFAULT.duration_s * 48_000
    assert bytes_written < 150e6


def test_no_song_is_in_two_splits(pairs):
    songs = defaultdict(set)
    for pair in pairs:
        songs[pair.split] |= {song(pair.audio_a), song(pair.audio_b)}
    assert set(songs) == {"train", "valid", "test"}
    assert sum(map(len, songs.values())) == len(set.union(*songs.values())) == DEFAULT.songs


@pytest.mark.parametrize("songs", [16, 17, 50, 170, 999])
def test_splits_share_out_all_songs(songs):
    splits = DemoConfig(songs=songs).splits()
    assert sorted(n for split in splits.values() for n in split) == list(range(songs))
    assert all(len(split) >= 4 for split in splits.values())
    if songs >= 50:
        assert len(splits["test"]) / songs == pytest.approx(0.18, abs=0.02)
        assert len(splits["valid"]) / songs == pytest.approx(0.12, abs=0.02)


@pytest.mark.parametrize("source", ["demo-damage", "demo-prompt"])
def test_the_listener_errs_at_the_stated_rate(pairs, source):
    decided = [pair for pair in of_source(pairs, source) if pair.label in DECIDED]
    wrong = sum(pair.label != truth(pair) for pair in decided)
    assert near(wrong, len(decided), DEFAULT.flip_rate)


def test_a_listener_without_errors_is_always_right():
    assert all(pair.label == truth(pair) for pair in demo_pairs(DemoConfig(songs=30, flip_rate=0.0)))


def test_ties_are_of_equal_rung_and_as_many_as_stated(pairs):
    labels = Counter(pair.label for pair in of_source(pairs, "demo-damage"))
    assert near(labels["tie"], labels.total(), DEFAULT.tie_rate)
    assert near(labels["both_bad"], labels.total(), DEFAULT.both_bad_rate)
    assert all(pair.label == truth(pair) for pair in pairs if pair.label not in DECIDED)
    assert not any(pair.label in DECIDED for pair in pairs if truth(pair) not in DECIDED)


@pytest.mark.parametrize("source", ["demo-damage", "demo-prompt"])
def test_sides_are_tossed(pairs, source):
    labels = Counter(pair.label for pair in of_source(pairs, source))
    assert near(labels["a"], labels["a"] + labels["b"], 0.5)


def test_records_are_distinct(pairs):
    assert len({pair.id for pair in pairs}) == len(pairs)
    compared = [(pair.source, frozenset((pair.audio_a, pair.audio_b))) for pair in pairs]
    assert all(len(clips) == 2 for _, clips in compared)
    counts = Counter(compared)
    assert {count for (source, _), count in counts.items() if source == "demo-damage"} == {1}


def test_systems_name_what_was_done(pairs):
    for pair in pairs:
        assert pair.audio_a.endswith(f"/{pair.system_a}.wav")
        assert pair.audio_b.endswith(f"/{pair.system_b}.wav")


def test_quality_is_compared_within_and_across_songs(pairs):
    decided = [pair for pair in of_source(pairs, "demo-damage") if pair.label in DECIDED]
    same = [pair for pair in decided if song(pair.audio_a) == song(pair.audio_b)]
    assert 0.2 < len(same) / len(decided) <= 0.5
    assert all(describes(pair.prompt, pair.audio_a) for pair in same)


def test_prompts_of_quality_pairs_do_not_hint_at_the_winner(pairs):
    across = [p for p in of_source(pairs, "demo-damage") if p.label in DECIDED and song(p.audio_a) != song(p.audio_b)]
    prompted = [p for p in across if p.prompt and describes(p.prompt, p.audio_a) != describes(p.prompt, p.audio_b)]
    assert near(len([p for p in across if p.prompt]), len(across), 0.5)
    assert near(sum((p.label == "a") == describes(p.prompt, p.audio_a) for p in prompted), len(prompted), 0.5)


def test_prompts_describe_exactly_one_song_and_each_in_turn(pairs):
    """So whoever reads only sound, or only text, is right half of the time, errors of the listener aside."""
    winners = defaultdict(list)
    for pair in of_source(pairs, "demo-prompt"):
        assert describes(pair.prompt, pair.audio_a) != describes(pair.prompt, pair.audio_b)
        assert pair.system_a == pair.system_b == "clean"
        described = pair.audio_a if truth(pair) == "a" else pair.audio_b
        winners[frozenset((pair.audio_a, pair.audio_b))].append(described)
    assert all(sorted(won) == sorted(clips) for clips, won in winners.items())


def test_songs_of_a_prompt_pair_differ_in_three_attributes(pairs):
    audible = [draw_song(DEFAULT.seed, number).audible for number in range(DEFAULT.songs)]
    for pair in of_source(pairs, "demo-prompt"):
        a, b = audible[song(pair.audio_a)], audible[song(pair.audio_b)]
        assert sum(x != y for x, y in zip(a, b, strict=True)) >= 3


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_volume_is_near_chance(pairs, split):
    gains_db = {take.path: take.gain_db for take in demo_takes(DEFAULT, pairs)}
    decided = [pair for pair in pairs if pair.split == split and pair.label in DECIDED]
    right = sum((gains_db[pair.audio_a] > gains_db[pair.audio_b]) == (pair.label == "a") for pair in decided)
    assert 0.44 < right / len(decided) < 0.56


def test_seeds_give_other_pairs_and_the_same_seed_the_same():
    assert demo_pairs(SMALL) == demo_pairs(SMALL)
    assert demo_pairs(SMALL) != demo_pairs(replace(SMALL, seed=8))


def test_writes_what_the_pairs_name_and_reports_each_clip(tmp_path):
    calls = []
    path = write_demo(tmp_path / "new" / "demo", SMALL, lambda done, total: calls.append((done, total)))
    assert path == tmp_path / "new" / "demo" / "pairs.jsonl"
    pairs = read_pairs(path)
    assert pairs == demo_pairs(SMALL)
    written = {p.relative_to(path.parent / "audio").as_posix() for p in (path.parent / "audio").rglob("*.*")}
    assert written == {clip for pair in pairs for clip in (pair.audio_a, pair.audio_b)}
    assert calls == [(n, len(written)) for n in range(1, len(written) + 1)]


def test_only_takes_that_are_compared_are_written():
    sparse = replace(SMALL, damaged_per_song=20, damage_pairs_per_song=1, prompt_pairs_per_song=1)
    pairs = demo_pairs(sparse)
    paths = [take.path for take in demo_takes(sparse, pairs)]
    assert len(paths) < 100
    assert sorted(paths) == sorted({clip for pair in pairs for clip in (pair.audio_a, pair.audio_b)})


def test_clips_are_16_bit_24_khz_mono_of_the_stated_length_and_sound(tmp_path):
    root = write_demo(tmp_path, SMALL).parent / "audio"
    for path in root.rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.subtype, info.samplerate, info.channels, info.frames) == ("PCM_16", 24_000, 1, 12_000)
        samples, _ = soundfile.read(path)
        assert np.sqrt(np.mean(samples**2)) > 0.02
        assert np.abs(samples).max() < 0.99


def test_a_rerun_keeps_every_file(tmp_path):
    write_demo(tmp_path, SMALL)
    before = files(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "audio").rglob("*.wav")}
    write_demo(tmp_path, SMALL)
    assert files(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_two_folders_get_identical_bytes(tmp_path):
    write_demo(tmp_path / "one", SMALL)
    write_demo(tmp_path / "two", SMALL)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_run_that_was_cut_off_is_completed(tmp_path):
    write_demo(tmp_path, SMALL)
    whole = files(tmp_path)
    missing, short, *_ = sorted((tmp_path / "audio").rglob("*.wav"))
    missing.rename(missing.with_name(f".{missing.name}.partial"))
    short.write_bytes(short.read_bytes()[:5000])
    (tmp_path / "pairs.jsonl").unlink()
    write_demo(tmp_path, SMALL)
    assert files(tmp_path) == whole


def test_an_interrupted_run_leaves_only_whole_clips_and_no_pairs(tmp_path):
    def stop(done, total):
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_demo(tmp_path, SMALL, stop)
    assert {path.stat().st_size for path in (tmp_path / "audio").rglob("*.*")} == {44 + 2 * 12_000}
    assert not (tmp_path / "pairs.jsonl").exists()


def test_refuses_the_folder_of_another_configuration(tmp_path):
    write_demo(tmp_path, SMALL)
    before = files(tmp_path)
    with pytest.raises(ValueError, match=r'out: .*demo\.json describes another data set, .*"seed": 7.*another folder'):
        write_demo(tmp_path, replace(SMALL, seed=8))
    assert files(tmp_path) == before


def test_refuses_a_folder_with_other_audio(tmp_path):
    (tmp_path / "audio").mkdir()
    with pytest.raises(ValueError, match=r"out: .*audio exists but was not written by the demo"):
        write_demo(tmp_path, SMALL)


@pytest.mark.parametrize(
    ("field", "value", "accepted"),
    [
        ("songs", 15, "16 to 6000"),
        ("songs", 6_001, "16 to 6000"),
        ("damaged_per_song", 0, "1 to 20"),
        ("damaged_per_song", 21, "1 to 20"),
        ("damage_pairs_per_song", 0, "1 to 10000"),
        ("prompt_pairs_per_song", 0, "1 to 10000"),
        ("duration_s", 0.4, "0.5 to 600"),
        ("duration_s", float("nan"), "0.5 to 600"),
        ("flip_rate", 0.6, "0 to 0.5"),
        ("tie_rate", -0.1, "0 to 0.5"),
        ("both_bad_rate", 0.51, "0 to 0.5"),
        ("seed", -1, "0 to "),
    ],
)
def test_refuses_sizes_out_of_range(field, value, accepted):
    with pytest.raises(ValueError, match=f"{field}: expected {accepted}.*, got {value}"):
        DemoConfig(**{field: value})


def test_refuses_more_clips_than_can_be_paired():
    with pytest.raises(ValueError, match=r"songs \* \(1 \+ damaged_per_song\): expected 1 to 6000, got 10500"):
        DemoConfig(songs=500, damaged_per_song=20)
