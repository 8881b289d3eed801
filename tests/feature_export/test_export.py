"""From audio to a store: every row as the encoders make it, every bad file a recorded failure, nothing else."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_factory import BAD, RATE_HZ, clip_pairs, write_bad, write_clips, write_m4a
from store_factory import snapshot

from feature_export.audio import SignalPath, load
from feature_export.encoders import Stack, load_stack
from feature_export.export import Encoded, Encoding, changed_audio, file_sha256, plan
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
    for clip, digest in zip(store.clips(), recorded, strict=True):
        there = clip.path in GOOD or (audio / "bad" in (audio / clip.path).parents and "missing" not in clip.path)
        if digest is not None:
            assert digest == hashlib.sha256((audio / clip.path).read_bytes()).hexdigest()
        else:
            assert not there or any(part in clip.path for part in ("folder", "\0", "xxx"))
    assert "audio_sha256" not in next(store.commits("mel_baseline"))


def test_the_store_does_not_depend_on_where_the_audio_lies(store: FeatureStore, audio: Path, tmp_path: Path) -> None:
    shutil.copytree(audio, tmp_path / "else where")
    seal_store(encoded(tmp_path / "store", tmp_path / "else where", clip_pairs([*GOOD, *BAD])))
    assert snapshot(tmp_path / "store") == snapshot(Path(store.location))


@pytest.mark.parametrize("threads", [2, 5])
def test_the_store_does_not_depend_on_the_threads(
    store: FeatureStore, audio: Path, tmp_path: Path, threads: int
) -> None:
    seal_store(encoded(tmp_path, audio, clip_pairs([*GOOD, *BAD]), threads=threads))
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
    assert work.run(told.append) == {"clip": Encoded(len(GOOD) + len(BAD), len(BAD)), "prompt": Encoded(3, 0)}
    assert sum(told) == work.rows


def test_finished_work_is_no_work(store: FeatureStore, audio: Path) -> None:
    before = snapshot(Path(store.location))
    work = Encoding(store, STACK, audio)
    assert work.rows == 0
    assert work.run() == {"clip": Encoded(0, 0), "prompt": Encoded(0, 0)}
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


class Stub:
    """A stack whose encoders fail as told."""

    def __init__(self, error: Exception) -> None:
        self.error, self.encoders = error, STACK.encoders

    def provenance(self) -> Mapping[str, Any]:
        return STACK.provenance()

    def embed_audio(self, wave: Any) -> Mapping[str, np.ndarray]:
        raise self.error

    def embed_prompt(self, text: str) -> Mapping[str, np.ndarray]:
        return STACK.embed_prompt(text)


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def embed_audio(stack: Stack, wave: Any) -> None:
        raise error

    monkeypatch.setattr(Stack, "embed_audio", embed_audio)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("out of memory"), "out of memory"), (RuntimeError(), "RuntimeError"), (ValueError("no"), "no")],
)
def test_an_encoder_that_fails_is_a_failed_row(
    monkeypatch: pytest.MonkeyPatch, audio: Path, tmp_path: Path, error: Exception, reason: str
) -> None:
    failing(monkeypatch, error)
    assert encoded(tmp_path, audio, clip_pairs(GOOD[:2])).failures("mel_baseline") == {0: reason, 1: reason}


def test_a_bug_stops_the_work_and_commits_nothing(
    monkeypatch: pytest.MonkeyPatch, audio: Path, tmp_path: Path
) -> None:
    failing(monkeypatch, KeyError("bug"))
    with pytest.raises(KeyError, match="bug"):
        encoded(tmp_path, audio, clip_pairs(GOOD))
    assert not (tmp_path / "commits").exists()


def other_encoders(change: Callable[[dict[str, Any]], None]) -> Any:
    """The stack of another version: same blocks, another provenance."""
    provenance = {name: dict(fields) for name, fields in STACK.provenance().items()}
    change(provenance)
    stack = Stub(ValueError())
    stack.provenance = lambda: provenance
    return stack
