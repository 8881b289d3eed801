"""Scoring many clips, pairs, rankings and curves: each number as if the clip were scored alone."""

import numpy as np
import pytest
import soundfile
import torch
from audio_factory import write_clips
from drawn_battles import drawn
from random_ensembles import random_ensemble
from random_heads import random_checkpoint
from toy_stack import TOY, ToyAudio, ToyText, toy_stack

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.percentiles import Distribution, Percentiles
from tunejury_jax.scorer import Scorer

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def mel():
    stack = load_stack(["mel"], SignalPath())
    provenance = {name: stack.provenance()[name] for name in stack.layout.names}
    return Scorer(random_checkpoint(provenance, stack.layout.names), stack)


@pytest.fixture
def toy():
    return Scorer(random_checkpoint(TOY), toy_stack())


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    return [root / name for name in write_clips(root, 5)]


def samples(seconds=0.5, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))).astype(np.float32)


def test_many_clips_score_bit_by_bit_as_each_alone(mel, clips):
    prompts = ["calm", "", "loud drums", "calm", "\n"]
    together = mel.predict_many(clips, prompts=prompts)
    alone = [mel.predict(clip, prompt=prompt) for clip, prompt in zip(clips, prompts, strict=True)]
    assert together == alone
    assert mel.score_many(clips, prompts=prompts) == [each.reward for each in alone]
    assert mel.predict_many(clips[::-1], prompts=prompts[::-1]) == alone[::-1]


def test_more_clips_than_a_chunk_keep_their_order(toy):
    audios = [samples(0.01, seed) for seed in range(150)]
    found = toy.score_many(audios, RATE_HZ)
    assert found == [toy.score(audio, RATE_HZ) for audio in audios]
    assert len(set(found)) == 150


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int16])
def test_a_tensor_scores_as_its_array(toy, dtype):
    tensor = torch.from_numpy(samples() * (2**15 if dtype == torch.int16 else 1)).to(dtype)
    array = tensor.numpy().astype(np.float32) if dtype == torch.float64 else tensor.numpy()
    expected = toy.score(array, RATE_HZ, "calm")
    assert toy.score(tensor, RATE_HZ, "calm") == expected
    assert toy.score_many([tensor[None], array], RATE_HZ, "calm") == [expected, expected]


def test_a_tensor_with_a_gradient_and_of_half_precision_is_scored(toy):
    half = torch.from_numpy(samples()).to(torch.bfloat16).requires_grad_()
    assert toy.score(half, RATE_HZ) == toy.score(half.detach().float().numpy(), RATE_HZ)


@pytest.mark.parametrize("rate", ["16000", 16_000.0, True, -1, 0, None])
def test_a_rate_that_is_none_is_refused(toy, untyped, rate):
    for call in (toy.score, lambda audio, rate: toy.score_many([audio], rate), toy.score_windows):
        with pytest.raises(ValueError, match=r"sample_rate_hz: .*Hz"):
            call(samples(), rate)


@pytest.mark.parametrize("audio", [[0.1, 0.2], b"song.wav", None, 3])
def test_audio_of_another_type_is_refused(toy, untyped, audio):
    for call in (toy.score, lambda audio: toy.score_many([audio])):
        with pytest.raises(ValueError, match=r"audio: got .*, accepted are a path, a NumPy array or a torch tensor"):
            call(audio)


def test_a_clip_of_many_that_cannot_be_scored_is_named(toy, clips, tmp_path):
    with pytest.raises(ValueError, match="audio 1: no such file"):
        toy.score_many([clips[0], tmp_path / "none.wav", clips[1]])
    with pytest.raises(ValueError, match="sample_rate_hz: a file tells its own"):
        toy.score_many(clips, RATE_HZ)
    with pytest.raises(ValueError, match="prompts: got 2 for 5 clips"):
        toy.score_many(clips, prompts=["a", "b"])
    assert toy.score_many([]) == []


def test_a_ranking_is_by_reward_and_keeps_the_order_of_equals(toy, clips):
    audios = [*clips, clips[0]]
    ranked = toy.rank(audios, prompt="calm")
    rewards = [each.prediction.reward for each in ranked]
    assert rewards == sorted(toy.score_many(audios, prompts="calm"), reverse=True)
    assert sorted(each.index for each in ranked) == list(range(6))
    order = [each.index for each in ranked]
    assert order.index(0) + 1 == order.index(5)
    assert ranked[0].prediction == toy.predict(audios[ranked[0].index], prompt="calm")


def test_two_clips_are_compared_by_their_rewards(toy, clips):
    found = toy.compare(clips[0], clips[1], prompt="calm")
    assert (found.a, found.b) == (toy.predict(clips[0], prompt="calm"), toy.predict(clips[1], prompt="calm"))
    assert found.probability == pytest.approx(1 / (1 + np.exp(found.b.reward - found.a.reward)))
    assert toy.compare(clips[0], clips[0]).probability == 0.5


def test_a_scorer_with_anchors_corrects_for_systems_and_the_plain_one_does_not(toy, clips):
    anchors = Anchors.fit(drawn(120, systems=4))
    anchored = toy.with_anchors(anchors)
    found = anchored.compare(clips[0], clips[1], system_a="s0", system_b="newcomer")
    margin = toy.compare(clips[0], clips[1]).logit
    assert found.logit == pytest.approx(anchors.scale * margin - anchors.offset("s0"))
    assert (found.unknown_systems, toy.anchors) == (("newcomer",), None)
    assert anchored.score(clips[0]) == toy.score(clips[0])


def test_a_curve_has_the_rewards_of_its_windows(toy):
    song = samples(1.0)
    curve = toy.score_windows(song, RATE_HZ, "calm", window_s=0.4, hop_s=0.25)
    assert [(each.start_s, each.end_s) for each in curve] == [(0.0, 0.4), (0.25, 0.65), (0.5, 0.9), (0.6, 1.0)]
    for each in curve:
        part = song[round(each.start_s * RATE_HZ) : round(each.end_s * RATE_HZ)]
        assert each.prediction == toy.predict(part, RATE_HZ, "calm")


@pytest.mark.parametrize(("seconds", "starts"), [(1.0, [0, 0.5]), (0.5, [0]), (0.2, [0]), (1.25, [0, 0.5, 0.75])])
def test_the_last_window_ends_with_the_clip_and_none_comes_twice(toy, seconds, starts):
    curve = toy.score_windows(samples(seconds), RATE_HZ, window_s=0.5, hop_s=0.5)
    assert [each.start_s for each in curve] == starts
    assert curve[-1].end_s == seconds


def test_a_file_has_the_curve_of_its_samples(toy, tmp_path):
    soundfile.write(tmp_path / "song.wav", samples(), RATE_HZ, subtype="FLOAT")
    assert toy.score_windows(tmp_path / "song.wav", window_s=0.2) == toy.score_windows(samples(), RATE_HZ, window_s=0.2)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e-9])
def test_a_window_of_no_length_is_refused(toy, seconds):
    with pytest.raises(ValueError, match=r"window_s: got .*, expected at least one sample"):
        toy.score_windows(samples(), RATE_HZ, window_s=seconds)
    with pytest.raises(ValueError, match=r"hop_s: got .*, expected at least one sample"):
        toy.score_windows(samples(), RATE_HZ, hop_s=seconds)


def test_flags_tell_of_the_clip_and_the_prompt(toy):
    assert toy.predict(samples(), RATE_HZ, "calm").flags == ("short",)
    assert toy.predict(0 * samples(5.0), RATE_HZ, "calm").flags == ("silent",)
    assert toy.predict(20 * samples(5.0), RATE_HZ, "calm").flags == ("clipped",)
    assert toy.predict(samples(5.0), RATE_HZ).flags == ("no_prompt",)
    too_long = " ".join("abcdef")
    assert toy.predict(samples(5.0), RATE_HZ, too_long).flags == ("prompt_cut",)
    assert toy.predict_many([samples(5.0)], RATE_HZ, too_long)[0].flags == ("prompt_cut",)


def test_a_percentile_is_that_of_the_reward(toy, clips):
    scores = np.linspace(-3, 3, 101)
    table = Percentiles({"x": Distribution.of_scores(scores)})
    predicted = toy.with_percentiles(table).predict(clips[0])
    assert predicted.percentile == table.of(predicted.reward)
    assert predicted.reward == toy.score(clips[0])
    assert toy.predict(clips[0]).percentile is None
    other = Percentiles({"x": Distribution.of_scores(scores, "d" * 64)})
    with pytest.raises(ValueError, match="percentiles: x was scored by head"):
        toy.with_percentiles(other)


def test_an_ensemble_tells_its_deviation_of_every_clip(clips):
    scorer = Scorer(random_ensemble(3, encoders=TOY), toy_stack(), conservative=0.5)
    for each, clip in zip(scorer.predict_many(clips), clips, strict=True):
        assert each == scorer.predict(clip)
        assert each.reward == pytest.approx(each.mean - 0.5 * each.std)
        assert each.std > 0


def test_a_prompt_of_many_clips_is_read_once(clips):
    text = ToyText()
    Scorer(random_checkpoint(TOY), toy_stack(ToyAudio(), text)).score_many(clips, prompts="calm")
    assert text.read == ["calm"]
