"""Features of many clips: those of each alone, in batches that fit, and encoded once where there is a cache."""

import numpy as np
import pytest
import torch
from audio_factory import write_bad, write_clips
from closeness import assert_close
from tiny_weights import clap, mert, muq
from tiny_weights.licences import accept_all
from toy_stack import ToyAudio, ToyText, toy_stack

from feature_export import clip_encoder as module
from feature_export.audio import SignalPath
from feature_export.clip_encoder import ClipEncoder
from feature_export.encoders import Stack, load_stack
from feature_export.export import Limits
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.scorer import Scorer


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    root = tmp_path_factory.mktemp("weights")
    for name, write in {"clap": clap.write, "mert": mert.write, "muq": muq.write}.items():
        write(root / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEJURY_WEIGHTS", str(root))
        accept_all()
        yield load_stack(("clap", "mert", "muq", "mel"), SignalPath())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    return [(root / name, None) for name in write_clips(root, 5)]


def encoded(encoder, files):
    return [clip for chunk in encoder.files(files) for clip in chunk]


class Counted:
    """Counts the windows that go through the networks of a stack."""

    def __init__(self, monkeypatch):
        self.windows = {}
        self._patch = monkeypatch

    def watch(self, stack):
        for encoder in stack.audio:
            kind, run = type(encoder), getattr(type(encoder), "embed_windows", None)
            if run:
                self._patch.setattr(kind, "embed_windows", self._counting(encoder.block.name, run))
        return stack

    def _counting(self, name, run):
        def embed_windows(encoder, windows):
            self.windows[name] = self.windows.get(name, 0) + len(windows)
            return run(encoder, windows)

        return embed_windows


@pytest.fixture
def counted(monkeypatch):
    return Counted(monkeypatch)


@pytest.mark.parametrize("workers", [0, 2])
def test_clips_together_have_the_features_of_each_alone(networks, files, workers):
    together = encoded(ClipEncoder(networks, Limits(workers)), files)
    for (path, _), clip in zip(files, together, strict=True):
        alone = networks.embed(path)
        assert clip.error is None
        assert clip.features.keys() == {encoder.block.name for encoder in networks.audio_encoders}
        for name, values in clip.features.items():
            assert_close(values, alone[name], 2e-5)


@pytest.mark.parametrize(("batch_s", "expected"), [(60.0, [5]), (None, [2, 2, 1])])
def test_windows_of_one_length_go_through_a_network_together(networks, files, monkeypatch, batch_s, expected):
    sizes = []
    kind = type(networks.audio[0])
    run = kind.embed_windows
    monkeypatch.setattr(kind, "embed_windows", lambda self, windows: sizes.append(len(windows)) or run(self, windows))
    encoded(ClipEncoder(networks, Limits(batch_s=batch_s)), files)
    assert sizes == expected


def test_a_batch_that_does_not_fit_is_halved_and_gives_the_same(networks, files, monkeypatch):
    expected = encoded(ClipEncoder(networks, Limits(batch_s=60.0)), files)
    kind = type(networks.audio[0])
    run = kind.embed_windows

    def small(self, windows):
        if len(windows) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return run(self, windows)

    monkeypatch.setattr(kind, "embed_windows", small)
    encoder = ClipEncoder(networks, Limits(batch_s=60.0))
    for clip, other in zip(encoded(encoder, files), expected, strict=True):
        for name, values in clip.features.items():
            assert_close(values, other.features[name], 2e-5)
    assert encoder.halved > 0


def test_what_is_cached_is_not_encoded_again_and_the_same_bit_by_bit(networks, files, tmp_path, counted):
    first = encoded(ClipEncoder(counted.watch(networks), cache=tmp_path), files)
    once = dict(counted.windows)
    assert once.keys() == {"clap_audio", "mert", "muq_audio"}
    second = encoded(ClipEncoder(networks, cache=tmp_path), files)
    assert counted.windows == once
    for clip, other in zip(first, second, strict=True):
        assert {n: v.tobytes() for n, v in clip.features.items()} == {n: v.tobytes() for n, v in other.features.items()}


def test_an_encoder_that_was_not_cached_is_the_only_one_that_listens(networks, files, tmp_path, counted):
    counted.watch(networks)
    clap_only = Stack(networks.audio[:1], networks.text[:1], networks.path)
    encoded(ClipEncoder(clap_only, cache=tmp_path), files)
    assert counted.windows == {"clap_audio": 5}
    found = encoded(ClipEncoder(networks, cache=tmp_path), files)
    assert counted.windows == {"clap_audio": 5, "mert": 5, "muq_audio": 5}
    for (path, _), clip in zip(files, found, strict=True):
        assert_close(clip.features["mert"], networks.embed(path)["mert"], 2e-5)


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_find_what_is_cached(networks, files, tmp_path, workers, counted):
    expected = encoded(ClipEncoder(networks, cache=tmp_path), files[:3])
    counted.watch(networks)
    found = encoded(ClipEncoder(networks, Limits(workers), tmp_path), files)
    assert set(counted.windows.values()) == {2}
    for clip, other in zip(expected, found[:3], strict=True):
        np.testing.assert_array_equal(clip.features["mert"], other.features["mert"])


def test_other_content_under_the_same_name_is_other_audio(files, tmp_path):
    path, encoder = tmp_path / "clip.wav", ToyAudio()
    for source, heard in ((0, 1), (1, 2), (0, 2), (1, 2)):
        path.write_bytes(files[source][0].read_bytes())
        (clip,) = encoded(ClipEncoder(toy_stack(encoder), cache=tmp_path / "cache"), [(path, None)])
        assert len(encoder.heard) == heard
        np.testing.assert_array_equal(clip.features["toy"], toy_stack().embed(path)["toy"])


def test_spans_of_a_file_are_clips_of_their_own(files, tmp_path):
    path, encoder = files[0][0], ToyAudio()
    spans = [(path, None), (path, (0.0, 0.1)), (path, (0.1, 0.2)), (path, (0.0, 0.1))]
    for _ in range(2):
        found = encoded(ClipEncoder(toy_stack(encoder), cache=tmp_path), spans)
        assert [clip.features["signal"][0] for clip in found] == pytest.approx([0.3, 0.1, 0.1, 0.1])
    assert len(encoder.heard) == 3


def test_bad_files_are_errors_and_are_not_cached(tmp_path):
    bad = [(tmp_path / name, None) for name in write_bad(tmp_path)]
    for _ in range(2):
        found = encoded(ClipEncoder(toy_stack(), cache=tmp_path / "cache"), bad)
        assert all(clip.error for clip in found)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_prompts_are_read_once_and_kept_on_disk(tmp_path):
    text = ToyText()
    encoder = ClipEncoder(toy_stack(None, text), cache=tmp_path)
    first, *_ = (encoder.prompt("calm piano") for _ in range(3))
    second = ClipEncoder(toy_stack(None, text), cache=tmp_path).prompt("calm piano")
    assert text.read == ["calm piano"]
    np.testing.assert_array_equal(first.features["words"], second.features["words"])
    assert not encoder.prompt(" ").features["words"].any()
    assert encoder.prompt("a b c d e f g").cut == 2


def test_ten_heads_encode_once(files, tmp_path, networks, counted):
    counted.watch(networks)
    heads = [head(networks, seed) for seed in range(10)]
    rewards = []
    for checkpoint in heads:
        scorer = Scorer(checkpoint, networks)
        encoder = scorer.clip_encoder(cache=tmp_path)
        clips = encoded(encoder, files)
        prompt = encoder.prompt("calm")
        rows = [{**clip.features, **prompt.features} for clip in clips]
        rewards.append([each.reward for each in scorer.predict_blocks(rows, ["calm"] * 5, [0] * 5)])
    assert counted.windows == {"clap_audio": 5, "mert": 5, "muq_audio": 5}
    for checkpoint, found in zip(heads, rewards, strict=True):
        np.testing.assert_allclose(
            found,
            Scorer(checkpoint, networks).score_many([path for path, _ in files], prompts="calm"),
            rtol=1e-4,
            atol=1e-4,
        )
    assert len({tuple(found) for found in rewards}) == 10


def head(stack, seed) -> Checkpoint:
    from random_heads import random_checkpoint

    names = stack.layout.names
    return random_checkpoint({name: stack.provenance()[name] for name in names}, names, seed=seed)


def test_chunks_are_bounded_and_looked_at_as_needed(files, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_CLIPS", 2)
    looked = []

    def endless():
        for number in range(10**9):
            looked.append(number)
            yield files[number % 5]

    chunks = ClipEncoder(toy_stack()).files(endless())
    assert [len(next(chunks)) for _ in range(3)] == [2, 2, 2]
    assert len(looked) <= 8
