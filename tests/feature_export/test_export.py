"""From audio to a store: every row as the encoders make it, every bad file a recorded failure, nothing else."""

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from audio_factory import BAD, RATE_HZ, clip_pairs, write_bad, write_clips, write_m4a
from store_factory import snapshot

from feature_export.audio import SignalPath, load
from feature_export.encoders import Stack, load_stack
from feature_export.encoders.mel import MelBaseline
from feature_export.export import Encoded, Encoding, Limits, changed_audio, plan, planning
from feature_export.preparation import file_sha256
from tunejury_jax.pairs import Pair
from tunejury_jax.store import FeatureStore, StoreError, seal_store

STACK = load_stack(["mel"], SignalPath())
GOOD = ["000.wav", "001.wav", "002.wav", "003.wav", "clip.m4a", "one sample.wav"]


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("audio")
    write_clips(root, 4)
    write_bad(root)
    write_m4a(root / "clip.m4a")
    soundfile.write(root / "one sample.wav", np.full(1, 0.5), RATE_HZ)
    return root


def encoded(location: Path, audio_root: Path, pairs: list[Pair], block_rows: int = 4, **options: Any) -> FeatureStore:
    store = plan(pairs, STACK, str(location), block_rows)
    Encoding(store, STACK, audio_root, **options).run()
    return store


@pytest.fixture(scope="module")
def store(audio: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    store = encoded(tmp_path_factory.mktemp("store"), audio, clip_pairs([*GOOD, *BAD]))
    seal_store(store)
    return store


@pytest.mark.parametrize("name", GOOD)
def test_a_good_row_is_what_the_encoders_make(store: FeatureStore, audio: Path, name: str) -> None:
    row = [clip.path for clip in store.clips()].index(name)
    made = STACK.embed_audio(load(audio / name))
    assert list(made) == ["signal", "mel_baseline"]
    for encoder, expected in made.items():
        features = store.load(encoder)
        assert features.ok[row]
        assert features.values[row].tobytes() == expected.tobytes()


def test_a_prompt_row_is_what_the_encoder_makes(store: FeatureStore) -> None:
    features = store.load("ngram_baseline")
    for row, prompt in enumerate(store.prompts()):
        assert np.array_equal(features.values[row], STACK.embed_prompt(prompt)["ngram_baseline"])
    assert store.prompts() == ("prompt 0", "prompt 1", "prompt 2")


@pytest.mark.parametrize(("name", "reason"), BAD.items(), ids=[name[:20].replace("\0", "0") for name in BAD])
@pytest.mark.parametrize("encoder", ["signal", "mel_baseline"])
def test_a_bad_file_is_a_failed_row_with_its_reason(
    store: FeatureStore, audio: Path, encoder: str, name: str, reason: str
) -> None:
    row = [clip.path for clip in store.clips()].index(name)
    found = store.failures(encoder)[row]
    assert found.startswith(reason)
    assert str(audio) not in found
    assert name not in found
    assert not store.load(encoder).ok[row]
    assert np.isnan(store.load(encoder).values[row]).all()


def test_nothing_else_fails(store: FeatureStore) -> None:
    failed = {store.clips()[row].path for row in store.failures("signal")}
    assert failed == set(BAD)
    assert store.failures("ngram_baseline") == {}


def test_facts_of_one_sample(store: FeatureStore) -> None:
    row = [clip.path for clip in store.clips()].index("one sample.wav")
    duration_s, rate_hz, channels, peak, rms_dbfs = store.load("signal").values[row]
    assert (rate_hz, channels, peak) == (RATE_HZ, 1, 0.5)
    assert duration_s == np.float32(1 / RATE_HZ)
    assert abs(rms_dbfs - 20 * np.log10(0.5)) < 1e-3


def test_commits_have_the_digest_of_each_file(store: FeatureStore, audio: Path) -> None:
    recorded = [digest for commit in store.commits("signal") for digest in commit["audio_sha256"]]
    found = {clip.path for clip, digest in zip(store.clips(), recorded, strict=True) if digest is None}
    assert found == {name for name in BAD if name.split("/")[1][:3] in ("mis", "fol", "nul", "xxx")}
    for clip, digest in zip(store.clips(), recorded, strict=True):
        if digest is not None:
            assert digest == hashlib.sha256((audio / clip.path).read_bytes()).hexdigest()
    assert "audio_sha256" not in next(store.commits("mel_baseline"))


def test_the_store_does_not_depend_on_where_the_audio_lies(store: FeatureStore, audio: Path, tmp_path: Path) -> None:
    shutil.copytree(audio, tmp_path / "else where")
    seal_store(encoded(tmp_path / "store", tmp_path / "else where", clip_pairs([*GOOD, *BAD])))
    assert snapshot(tmp_path / "store") == snapshot(Path(store.location))


@pytest.mark.parametrize("limits", [Limits(2), Limits(5), Limits(2, memory_bytes=1)], ids=str)
def test_the_store_does_not_depend_on_the_workers(
    store: FeatureStore, audio: Path, tmp_path: Path, limits: Limits
) -> None:
    seal_store(encoded(tmp_path, audio, clip_pairs([*GOOD, *BAD]), limits=limits))
    assert snapshot(tmp_path) == snapshot(Path(store.location))


@pytest.mark.parametrize("block_rows", [1, 7, 64])
def test_rows_do_not_depend_on_the_blocks(store: FeatureStore, audio: Path, tmp_path: Path, block_rows: int) -> None:
    other = encoded(tmp_path, audio, clip_pairs([*GOOD, *BAD]), block_rows)
    for encoder in store.plan.encoders:
        assert other.load(encoder).values.tobytes() == store.load(encoder).values.tobytes()
        assert other.failures(encoder) == store.failures(encoder)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_shards_together_are_the_whole(store: FeatureStore, audio: Path, tmp_path: Path, count: int) -> None:
    for index in reversed(range(count)):
        encoded(tmp_path, audio, clip_pairs([*GOOD, *BAD]), shard=(index, count))
    seal_store(FeatureStore.open(str(tmp_path)))
    assert snapshot(tmp_path) == snapshot(Path(store.location))


def test_work_is_told_by_table_and_row(audio: Path, tmp_path: Path) -> None:
    store = plan(clip_pairs([*GOOD, *BAD]), STACK, str(tmp_path), 4)
    work, told = Encoding(store, STACK, audio), []
    assert work.rows == len(GOOD) + len(BAD) + 3
    assert work.run(told.append) == Encoded(len(GOOD) + len(BAD) + 3, len(BAD))
    assert sum(told) == work.rows


def test_finished_work_is_no_work(store: FeatureStore, audio: Path) -> None:
    before = snapshot(Path(store.location))
    work = Encoding(store, STACK, audio)
    assert work.rows == 0
    assert work.run() == Encoded(0, 0)
    assert snapshot(Path(store.location)) == before


@pytest.mark.parametrize("lost", ["commits/signal/00000001.json", "commits/mel_baseline/00000002.json"])
def test_a_lost_commit_is_made_again(store: FeatureStore, audio: Path, tmp_path: Path, lost: str) -> None:
    shutil.copytree(store.location, tmp_path / "store")
    (tmp_path / "store" / lost).unlink()
    work = Encoding(FeatureStore.open(str(tmp_path / "store")), STACK, audio)
    assert work.rows == 4
    work.run()
    assert snapshot(tmp_path / "store") == snapshot(Path(store.location))


def test_spans_are_encoded_as_such(audio: Path, tmp_path: Path) -> None:
    store = encoded(tmp_path, audio, clip_pairs(["000.wav", "001.wav"], span=(0.1, 0.25)))
    assert [clip.span for clip in store.clips()] == [(0.1, 0.25)] * 2
    expected = STACK.embed_audio(load(audio / "000.wav", (0.1, 0.25)))
    assert np.array_equal(store.load("mel_baseline").values[0], expected["mel_baseline"])
    assert store.load("signal").values[0, 0] == np.float32(0.15)


def test_a_span_outside_the_file_is_a_failed_row(audio: Path, tmp_path: Path) -> None:
    store = encoded(tmp_path, audio, clip_pairs(["000.wav", "001.wav"], span=(0.1, 10.0)))
    reason = "span_s: (0.1, 10.0) reaches outside the file, which lasts 0.3 s"
    assert store.failures("signal") == {0: reason, 1: reason}


def test_no_prompts_at_all(audio: Path, tmp_path: Path) -> None:
    store = encoded(tmp_path, audio, clip_pairs(GOOD, prompts=0))
    seal_store(store)
    assert store.load("ngram_baseline").values.shape == (0, 256)


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def embed(encoder: MelBaseline, wave: Any) -> None:
        raise error

    monkeypatch.setattr(MelBaseline, "embed", embed)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("out of memory"), "out of memory"),
        (MemoryError(), "MemoryError"),
        (RuntimeError(), "RuntimeError"),
        (ValueError("no"), "no"),
    ],
)
def test_an_encoder_that_fails_is_a_failed_row(
    monkeypatch: pytest.MonkeyPatch, audio: Path, tmp_path: Path, error: Exception, reason: str
) -> None:
    failing(monkeypatch, error)
    assert encoded(tmp_path, audio, clip_pairs(GOOD[:2])).failures("mel_baseline") == {0: reason, 1: reason}


def test_a_bug_stops_the_work_and_commits_nothing(monkeypatch: pytest.MonkeyPatch, audio: Path, tmp_path: Path) -> None:
    failing(monkeypatch, KeyError("bug"))
    with pytest.raises(KeyError, match="bug"):
        encoded(tmp_path, audio, clip_pairs(GOOD))
    assert not (tmp_path / "commits").exists()


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (SignalPath(train16k=True), "mel_baseline.signal_path.train16k: False, not True"),
        (SignalPath(int16=True), "mel_baseline.signal_path.int16: False, not True"),
    ],
)
def test_a_store_of_other_encoders_is_refused(audio: Path, tmp_path: Path, path: SignalPath, field: str) -> None:
    store = plan(clip_pairs(GOOD), load_stack(["mel"], path), str(tmp_path), 4)
    with pytest.raises(StoreError, match=re.escape(f"was planned for other encoders; these differ: {field}")):
        Encoding(store, STACK, audio)
    with pytest.raises(StoreError, match=r"holds a store with another plan; asked for encoders\.mel_baseline"):
        plan(clip_pairs(GOOD), STACK, str(tmp_path), 4)


def test_a_store_of_fewer_encoders_is_refused(audio: Path, tmp_path: Path) -> None:
    store = plan(clip_pairs(GOOD), Stack(STACK.audio, ()), str(tmp_path), 4)
    with pytest.raises(StoreError, match=r"these differ: ngram_baseline: \{'encoder': .*\}, not '\(nothing\)'"):
        Encoding(store, STACK, audio)


def test_a_field_that_is_no_longer_recorded_is_a_difference(
    monkeypatch: pytest.MonkeyPatch, audio: Path, tmp_path: Path
) -> None:
    store = plan(clip_pairs(GOOD), STACK, str(tmp_path), 4)
    provenance = {name: dict(fields) for name, fields in STACK.provenance().items()}
    assert provenance["signal"].pop("sample_rate_hz") is None
    monkeypatch.setattr(Stack, "provenance", lambda stack: provenance)
    with pytest.raises(StoreError, match=r"these differ: signal.sample_rate_hz: '\(nothing\)', not None"):
        Encoding(store, STACK, audio)


@pytest.mark.parametrize("shard", [(1, 1), (-1, 2), (0, 0)])
def test_a_shard_that_is_none(store: FeatureStore, audio: Path, shard: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"shard: got {shard[0]}/{shard[1]}, expected i/n with 0 <= i < n"):
        Encoding(store, STACK, audio, shard)


@pytest.mark.parametrize("name", ["nowhere", "000.wav"])
def test_an_audio_root_that_is_none(store: FeatureStore, audio: Path, name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"audio_root: {str(audio / name)!r} is not a folder")):
        Encoding(store, STACK, audio / name)


def test_unchanged_audio_is_unchanged(store: FeatureStore, audio: Path) -> None:
    assert changed_audio(store, audio) == []


def test_changed_audio_is_found(store: FeatureStore, audio: Path, tmp_path: Path) -> None:
    root = shutil.copytree(audio, tmp_path / "audio")
    (root / "000.wav").write_bytes((root / "001.wav").read_bytes())
    (root / "002.wav").unlink()
    (root / "bad/missing.wav").write_bytes((root / "001.wav").read_bytes())
    with (root / "bad/notes.txt").open("a") as file:
        file.write("!")
    changed = ["Noise/000.wav", "Noise/002.wav", "Noise/bad/missing.wav", "Noise/bad/notes.txt"]
    assert changed_audio(store, root) == changed


def test_audio_of_a_store_that_is_not_encoded(audio: Path, tmp_path: Path) -> None:
    store = plan(clip_pairs(GOOD), STACK, str(tmp_path), 4)
    with pytest.raises(StoreError, match="has 6 clips, and digests of 0 audio files"):
        changed_audio(store, audio)


def test_a_digest_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("name", ["", "missing", "x" * 300, "a\0b", "loop"])
def test_no_file_has_no_digest(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert file_sha256(tmp_path / name) is None


@pytest.mark.parametrize(
    ("rows", "block_rows"), [(0, 16), (1, 16), (1023, 16), (1024, 32), (2048, 64), (60_000, 1024), (10**8, 1024)]
)
def test_blocks_are_about_a_64th_of_the_rows(rows: int, block_rows: int) -> None:
    assert planning._block_rows(rows) == block_rows


@pytest.mark.parametrize(("clips", "prompts", "block_rows"), [(2, 1, 16), (2, 2000, 32), (2000, 1, 32)])
def test_the_larger_table_decides(tmp_path: Path, clips: int, prompts: int, block_rows: int) -> None:
    pairs = [
        Pair(f"{n}", "Noise", f"{n % clips}.wav", "0.wav", "a", prompt=f"prompt {n % prompts}") for n in range(2000)
    ]
    assert plan(pairs, STACK, str(tmp_path)).plan.block_rows == block_rows


@pytest.mark.parametrize("block_rows", [0, -1])
def test_blocks_of_no_rows_are_refused(tmp_path: Path, block_rows: int) -> None:
    with pytest.raises(StoreError, match=f"block_rows: got {block_rows}, expected at least 1"):
        plan(clip_pairs(GOOD), STACK, str(tmp_path), block_rows)


def test_versions_are_recorded(store: FeatureStore) -> None:
    expected = {"tunejury-jax", "torch", "transformers", "soundfile", "av", "numpy", "tensorstore"}
    assert set(store.plan.environment) == expected


def under(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    real = planning._version
    monkeypatch.setattr(planning, "_version", lambda name: versions.get(name, real(name)))


@pytest.mark.parametrize("library", ["torch", "transformers"])
def test_a_store_is_not_continued_under_another_version(
    monkeypatch: pytest.MonkeyPatch, audio: Path, tmp_path: Path, library: str
) -> None:
    with monkeypatch.context() as patch:
        under(patch, **{library: "1.2.3"})
        store = plan(clip_pairs(GOOD), STACK, str(tmp_path), 4)
    message = rf"its rows would be of two versions: {library}: '\d.*', not '1\.2\.3', under which it was planned"
    with pytest.raises(StoreError, match=message):
        Encoding(store, STACK, audio)


def test_builds_for_other_devices_are_one_version(monkeypatch: pytest.MonkeyPatch, audio: Path, tmp_path: Path) -> None:
    under(monkeypatch, torch="2.13.0+cpu")
    store = plan(clip_pairs(GOOD), STACK, str(tmp_path), 4)
    assert store.plan.environment["torch"] == "2.13.0+cpu"
    under(monkeypatch, torch="2.13.0+cu130")
    assert Encoding(store, STACK, audio).rows == len(GOOD) + 3


def test_other_libraries_may_change(monkeypatch: pytest.MonkeyPatch, audio: Path, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        under(patch, soundfile="0.0", numpy="0.0")
        store = plan(clip_pairs(GOOD), STACK, str(tmp_path), 4)
    assert Encoding(store, STACK, audio).rows


def test_a_finished_store_is_fine_under_any_version(
    monkeypatch: pytest.MonkeyPatch, store: FeatureStore, audio: Path
) -> None:
    under(monkeypatch, torch="99")
    assert Encoding(store, STACK, audio).rows == 0


def test_half_precision_on_disk(store: FeatureStore, audio: Path, tmp_path: Path) -> None:
    half = plan(clip_pairs([*GOOD, *BAD]), STACK, str(tmp_path), 4, "float16")
    Encoding(half, STACK, audio).run()
    types = {name: half.load(name).values.dtype for name in half.plan.encoders}
    assert types == {"signal": np.float32, "mel_baseline": np.float16, "ngram_baseline": np.float16}
    for name in types:
        expected = store.load(name).values.astype(types[name])
        assert np.array_equal(half.load(name).values, expected, equal_nan=True)


def test_a_value_beyond_half_precision_is_a_failed_row(
    monkeypatch: pytest.MonkeyPatch, audio: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(MelBaseline, "embed", lambda encoder, wave: torch.full((400,), 1e5))
    store = plan(clip_pairs(GOOD[:2]), STACK, str(tmp_path), 4, "float16")
    assert Encoding(store, STACK, audio).run().failed == 2
    reason = "mel_baseline: the embedding is not finite as float16"
    assert store.failures("mel_baseline") == store.failures("signal") == {0: reason, 1: reason}
