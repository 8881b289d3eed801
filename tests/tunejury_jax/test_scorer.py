"""Scoring features and audio: against the oracle, in batches of any size, with and without the encoders."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import soundfile
from closeness import assert_close
from random_ensembles import random_ensemble, random_members
from random_heads import random_checkpoint, random_state

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax import extras
from tunejury_jax.ensemble import ensemble
from tunejury_jax.head import evaluate_head
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.scorer import Scorer, accepted_audio

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def scorer():
    return Scorer(random_checkpoint())


@pytest.fixture(scope="module")
def mel():
    return load_stack(["mel"], SignalPath())


@pytest.fixture(scope="module")
def mel_checkpoint(mel):
    provenance = {name: mel.provenance()[name] for name in mel.layout.names}
    return random_checkpoint(provenance, mel.layout.names)


class FakeStack:
    """Features that tell what they were asked for, and one block that no head reads."""

    def __init__(self, revision="1"):
        self.revision, self.asked = revision, []

    def provenance(self):
        return {name: {"encoder": name, "revision": self.revision} for name in ("signal", "toy", "words")}

    def embed(self, audio, sample_rate_hz, prompt):
        self.asked.append((audio, sample_rate_hz, prompt))
        prompt_row = np.full(4, float(len(prompt)), np.float32)
        return {"words": prompt_row, "toy": np.arange(8, dtype=np.float32) / 8, "signal": np.zeros(5, np.float32)}


def features(rows, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, 12)).astype(np.float32)


def tone(seconds=2.0, hz=440.0):
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (0.3 * np.sin(2 * np.pi * hz * t) + 0.05 * noise).astype(np.float32)


@pytest.mark.parametrize("rows", [1, 2, 255, 256, 257, 600])
def test_scores_are_the_oracles_for_any_number_of_rows(scorer, rows):
    found = scorer.score_features(features(rows))
    assert found.dtype == np.float32
    assert_close(found, reference.evaluate(random_state(HeadConfig(12, (6, 4))), features(rows)))


def test_no_rows_have_no_scores(scorer):
    assert scorer.score_features(np.zeros((0, 12), np.float32)).shape == (0,)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_features_may_be_of_any_float_type(scorer, dtype):
    x = features(5).astype(np.float16)
    np.testing.assert_array_equal(scorer.score_features(x.astype(dtype)), scorer.score_features(x.astype(np.float32)))


def test_a_row_scores_alike_alone_and_among_others(scorer):
    x = features(300)
    together = scorer.score_features(x)
    alone = np.concatenate([scorer.score_features(row[None]) for row in x[:20]])
    assert (np.abs(alone - together[:20]) <= 1e-5 * np.abs(together[:20])).all()
    np.testing.assert_array_equal(scorer.score_features(x), together)


@pytest.mark.parametrize("members", [1, 3])
def test_any_number_of_rows_is_one_compilation_of_all_members(members, monkeypatch):
    traced = []

    def counted(*arguments):
        traced.append(arguments)
        return evaluate_head(*arguments)

    for place in ("prediction", "checkpoint"):
        monkeypatch.setattr(f"tunejury_jax.{place}.evaluate_head", counted)
    scorer = Scorer(random_ensemble(members, widths=(6, 3)))  # widths of no other test: nothing is compiled yet
    for rows in (1, 3, 256, 700):
        scorer.score_features(features(rows))
    assert len(traced) == 1


def of_each(heads, x):
    return np.stack([Scorer(head).score_features(x) for head in heads]).astype(np.float64)


@pytest.mark.parametrize("rows", [1, 257])
def test_mean_and_deviation_are_those_of_the_members_own_scorers(rows):
    combined, x = random_ensemble(4), features(rows)
    found = Scorer(combined).predict_features(x)
    expected = of_each([combined.member(number) for number in range(4)], x)
    assert {values.dtype for values in found} == {np.dtype(np.float32)}
    assert_close(found.mean, expected.mean(axis=0))
    assert_close(found.std, np.sqrt(np.square(expected - expected.mean(axis=0)).mean(axis=0)))


def test_a_single_head_scores_bit_by_bit_as_its_checkpoint_and_deviates_by_nothing(scorer):
    x = features(256)
    mean, std = scorer.predict_features(x)
    np.testing.assert_array_equal(mean, jax.jit(random_checkpoint().score)(jnp.asarray(x)))
    np.testing.assert_array_equal(std, np.zeros(256, np.float32))
    np.testing.assert_array_equal(scorer.score_features(x), mean)


def test_an_ensemble_of_one_scores_bit_by_bit_as_the_head():
    heads, x = random_members(1), features(300)
    for found, expected in zip(*(Scorer(c).predict_features(x) for c in (ensemble(heads), heads[0])), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_order_of_members_does_not_matter():
    heads, x = random_members(4), features(50)
    shuffled = ensemble([heads[number] for number in (2, 0, 3, 1)])
    for found, expected in zip(*(Scorer(c).predict_features(x) for c in (shuffled, ensemble(heads))), strict=True):
        assert_close(found, expected, 2e-6)


def test_an_ensemble_of_no_rows_has_no_scores():
    mean, std = Scorer(random_ensemble(2)).predict_features(np.zeros((0, 12), np.float32))
    assert (mean.shape, std.shape) == ((0,), (0,))


@pytest.mark.parametrize("conservative", [0.0, 0.5, 2.0])
def test_the_reward_is_the_mean_less_so_many_deviations(conservative):
    combined, x = random_ensemble(3), features(20)
    scorer = Scorer(combined, conservative=conservative)
    expected = of_each([combined.member(number) for number in range(3)], x)
    assert_close(scorer.score_features(x), expected.mean(axis=0) - conservative * expected.std(axis=0))
    np.testing.assert_array_equal(scorer.predict_features(x).mean, Scorer(combined).score_features(x))


@pytest.mark.parametrize("conservative", [-0.5, float("nan"), float("inf")])
def test_a_number_of_deviations_that_is_none_is_refused(conservative):
    with pytest.raises(ValueError, match=f"conservative: got {conservative}, accepted are finite numbers from 0"):
        Scorer(random_ensemble(2), conservative=conservative)


def test_a_single_head_has_no_deviation_to_take_off(tmp_path):
    message = "conservative: got 0.5, but the checkpoint has one member and so no standard deviation; accepted is 0"
    random_checkpoint().save(tmp_path / "head")
    with pytest.raises(ValueError, match=message):
        Scorer.from_checkpoint(tmp_path / "head", conservative=0.5)


def test_a_clip_is_predicted_and_scored_as_its_features(tmp_path):
    random_ensemble(3).save(tmp_path / "ensemble")
    scorer = Scorer.from_checkpoint(tmp_path / "ensemble", FakeStack(), conservative=1.5)
    x = np.concatenate([np.arange(8) / 8, np.full(4, 4.0)])[None].astype(np.float32)
    mean, std = scorer.predict_features(x)
    found = scorer.predict("song.wav", prompt="calm")
    assert found[:3] == (scorer.score_features(x)[0], mean[0], std[0])
    assert {type(value) for value in found[:3]} == {float}
    assert scorer.score("song.wav", prompt="calm") == found.reward < found.mean


@pytest.mark.parametrize("shape", [(12,), (3, 11), (3, 13), (2, 3, 12)])
def test_rows_of_another_width_are_refused(scorer, untyped, shape):
    message = r"x: got shape \(.*\), expected \(batch, 12\) for blocks \['toy', 'words'\]"
    with pytest.raises(ValueError, match=message):
        scorer.score_features(np.zeros(shape, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_named(scorer, value):
    x = features(300)
    x[270, 3] = value
    with pytest.raises(ValueError, match="x: row 270 is not finite as float32"):
        scorer.score_features(x)


def test_a_row_beyond_float32_is_named(scorer):
    x = features(3).astype(np.float64)
    x[1, 3] = 1e60
    with pytest.raises(ValueError, match="x: row 1 is not finite as float32"):
        scorer.score_features(x)


def test_audio_is_scored_through_the_stack_it_was_given():
    stack, checkpoint = FakeStack(), random_checkpoint()
    score = Scorer(checkpoint, stack).score("song.wav", prompt="calm")
    assert stack.asked == [("song.wav", None, "calm")]
    x = np.concatenate([np.arange(8) / 8, np.full(4, 4.0)])[None].astype(np.float32)
    assert isinstance(score, float)
    assert score == pytest.approx(reference.evaluate(random_state(checkpoint.head), x)[0], rel=1e-5)


def test_samples_come_with_their_rate():
    stack = FakeStack()
    Scorer(random_checkpoint(), stack).score(tone(), RATE_HZ)
    assert [(rate, prompt) for _, rate, prompt in stack.asked] == [(RATE_HZ, "")]


def test_a_checkpoint_folder_is_enough(tmp_path):
    random_checkpoint().save(tmp_path / "head")
    for folder in (tmp_path / "head", str(tmp_path / "head")):
        scorer = Scorer.from_checkpoint(folder, FakeStack())
        assert scorer.score("song.wav") == Scorer(random_checkpoint(), FakeStack()).score("song.wav")


def test_a_stack_of_other_encoders_is_refused():
    message = "encoder stack: block 'toy' was made otherwise than the checkpoint's: revision: '2', not '1'"
    with pytest.raises(ValueError, match=message):
        Scorer(random_checkpoint(), FakeStack(revision="2"))


def test_the_stack_is_made_of_the_checkpoints_provenance_when_audio_is_first_scored(mel_checkpoint, monkeypatch):
    scorer = Scorer(mel_checkpoint)
    scorer.score_features(np.zeros((1, mel_checkpoint.layout.dim), np.float32))
    assert "stack" not in vars(scorer)
    scorer.score(tone(), RATE_HZ)
    assert scorer.stack.provenance().keys() == {"signal", "mel_baseline", "ngram_baseline"}


def test_a_head_of_encoders_that_this_version_lacks_is_refused_with_their_name():
    with pytest.raises(ValueError, match="block: got 'toy', accepted are"):
        Scorer(random_checkpoint()).score("song.wav")


@pytest.mark.parametrize("prompt", ["", "warm piano"])
def test_a_file_scores_as_its_samples_and_as_the_oracle(mel, mel_checkpoint, tmp_path, prompt):
    soundfile.write(tmp_path / "tone.wav", tone(), RATE_HZ, subtype="FLOAT")
    scorer = Scorer(mel_checkpoint, mel)
    score = scorer.score(tmp_path / "tone.wav", prompt=prompt)
    assert score == scorer.score(tone(), RATE_HZ, prompt) == scorer.score(str(tmp_path / "tone.wav"), prompt=prompt)
    blocks = mel.embed(tone(), RATE_HZ, prompt)
    x = np.concatenate([blocks["mel_baseline"], blocks["ngram_baseline"]])[None]
    assert score == pytest.approx(reference.evaluate(random_state(mel_checkpoint.head), x)[0], abs=2e-5)


def test_a_prompt_of_white_space_is_none_and_a_prompt_matters(mel, mel_checkpoint):
    scorer = Scorer(mel_checkpoint, mel)
    assert scorer.score(tone(), RATE_HZ, " \n") == scorer.score(tone(), RATE_HZ)
    assert scorer.score(tone(), RATE_HZ, "warm piano") != scorer.score(tone(), RATE_HZ)


def test_a_file_tells_its_own_rate_and_samples_do_not(mel, mel_checkpoint, tmp_path):
    soundfile.write(tmp_path / "tone.wav", tone(), RATE_HZ)
    scorer = Scorer(mel_checkpoint, mel)
    with pytest.raises(ValueError, match="sample_rate_hz: a file tells its own"):
        scorer.score(tmp_path / "tone.wav", RATE_HZ)
    with pytest.raises(ValueError, match="sample_rate_hz: samples need a positive sampling rate"):
        scorer.score(tone())


def test_suffixes_of_audio_are_told():
    assert {".wav", ".flac", ".mp3", ".m4a"} <= set(accepted_audio())
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in accepted_audio())


def test_a_missing_part_of_the_export_stage_is_told_with_advice(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError("No module named 'av'", name="av")

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    advice = r"scoring audio needs the export extra, av is missing: pip install 'tunejury-jax\[export\]'"
    with pytest.raises(ValueError, match=advice):
        accepted_audio()


WITHOUT_TORCH = """
import sys
from pathlib import Path


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchaudio", "torchvision", "soundfile", "av"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv[1])

import importlib, pkgutil
import trainers, tunejury_jax

for package in (tunejury_jax, trainers):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.startswith(("tunejury_jax.bridge.", "tunejury_jax.applications.")):
            importlib.import_module(module.name)

from sealed_store import toy_store
from trainers.config import RunConfig
from trainers.recipe import TrainConfig
from trainers.train import main
from tunejury_jax import Scorer

folder = Path(sys.argv[2])
toy_store(folder / "store", pairs=60)
main(RunConfig(str(folder / "store"), str(folder / "run"), TrainConfig(widths=(4,), max_epochs=1)))
scorer = Scorer.from_checkpoint(folder / "run" / "best")
import numpy as np

assert np.isfinite(scorer.score_features(np.zeros((2, scorer.checkpoint.layout.dim), np.float32))).all()
assert not {"torch", "soundfile", "av", "feature_export.audio"} & sys.modules.keys()
try:
    scorer.score("song.wav")
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_without_torch_everything_works_but_audio_which_says_what_to_install(tmp_path):
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, tests, str(tmp_path)]
    environment = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(tests).parent, env=environment)
    assert done.returncode == 0, done.stderr
    expected = "scoring audio needs the export extra, torch is missing: pip install 'tunejury-jax[export]'"
    assert done.stdout.splitlines()[-1] in (expected, expected.replace("torch is", "av is"))
