"""Candidates in a folder: generated one by one whatever interrupts, recorded, and scored with their errors."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from random_ensembles import random_ensemble
from random_heads import random_checkpoint
from toy_generator import ToyGenerator
from toy_stack import TOY, toy_stack

from tunejury_jax.applications.candidates import (
    count_candidates,
    generate_candidates,
    generator_of,
    list_candidates,
    score_candidates,
    write_wave,
)
from tunejury_jax.applications.generators import Generator
from tunejury_jax.applications.prompts import Prompt
from tunejury_jax.scorer import Scorer

ROOT = Path(__file__).parents[3]
PROMPTS = [Prompt("calm", "calm piano"), Prompt("7", "fast drums"), Prompt("a_c1", "a choir")]


def generate(folder, count=3, prompts=PROMPTS, generator=None, **options):
    return generate_candidates(generator or ToyGenerator(), prompts, folder, count, **{"duration_s": 0.1, **options})


def contents(folder):
    """The samples of every file: libsndfile writes the time into float32 wavs."""
    return {path.name: soundfile.read(path, dtype="float32")[0].tolist() for path in sorted(folder.glob("*.wav"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder that was generated undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    generate(folder)
    return folder


def test_every_prompt_gets_its_candidates_each_with_its_own_seed(whole):
    generator = ToyGenerator()
    assert isinstance(generator, Generator)
    assert len(contents(whole)) == 9
    for prompt in PROMPTS:
        for number in range(3):
            samples, rate_hz = soundfile.read(whole / f"{prompt.id}_c{number}.wav", dtype="float32")
            text = f"high quality instrumental music, {prompt.text}"
            expected = generator.generate([text], [42 + number], 0.1)[0, 0]
            assert rate_hz == 16_000
            np.testing.assert_array_equal(samples, expected.numpy())


def test_batches_hold_several_prompts_and_do_not_change_the_clips(whole, tmp_path):
    generator = ToyGenerator()
    assert generate(tmp_path, generator=generator, batch=4) == (9, 0, 0)
    assert generator.calls == [4, 4, 1]
    assert contents(tmp_path) == contents(whole)


def test_what_is_there_is_not_made_again_and_more_can_be_added(whole, tmp_path):
    assert generate(tmp_path, count=1, prompts=PROMPTS[:2]) == (2, 0, 0)
    assert generate(tmp_path, count=2, prompts=PROMPTS[1:]) == (3, 1, 0)
    (tmp_path / "7_c1.wav").unlink()
    assert generate(tmp_path) == (5, 4, 0)
    assert contents(tmp_path) == contents(whole)
    assert generate(tmp_path) == (0, 9, 0)


def test_a_batch_that_does_not_fit_is_halved_and_nothing_skipped(whole, tmp_path):
    generator = ToyGenerator(holds=3)
    assert generate(tmp_path, generator=generator, batch=8).halved == 2
    assert generator.calls == [8, 4, 2, 2, 2, 2, 1]
    assert contents(tmp_path) == contents(whole)


def test_a_clip_that_does_not_fit_alone_is_an_error(tmp_path):
    with pytest.raises(torch.OutOfMemoryError):
        generate(tmp_path, generator=ToyGenerator(holds=0))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"prefix": ""}, "prefix: 'high quality instrumental music, ', not ''"),
        ({"duration_s": 0.2}, "duration_s: 0.1, not 0.2"),
        ({"first_seed": 0}, "first_seed: 42, not 0"),
        ({"generator": ToyGenerator(name="other")}, "generator.generator: 'toy', not 'other'"),
        ({"prompts": [Prompt("7", "slow drums")]}, "prompts.7: 'fast drums', not 'slow drums'"),
    ],
)
def test_a_folder_that_was_made_otherwise_is_refused(whole, changed, told):
    before = contents(whole), (whole / "candidates.json").read_bytes()
    with pytest.raises(ValueError, match="was made otherwise") as refused:
        generate(whole, **changed)
    assert told in str(refused.value)
    assert (contents(whole), (whole / "candidates.json").read_bytes()) == before


def test_a_folder_of_somebody_elses_candidates_is_not_added_to(tmp_path):
    (tmp_path / "7_c0.wav").touch()
    with pytest.raises(ValueError, match=r"has wavs but no candidates\.json, so they are of another program"):
        generate(tmp_path)


def test_what_generated_is_recorded(whole, tmp_path):
    assert generator_of(whole) == {"generator": "toy", "noise": [0.05, 0.5]}
    assert generator_of(tmp_path) is None


SLOW = """
import sys
from pathlib import Path
from toy_generator import ToyGenerator
from tunejury_jax.applications.candidates import generate_candidates
from tunejury_jax.applications.prompts import Prompt
prompts = [Prompt("calm", "calm piano"), Prompt("7", "fast drums"), Prompt("a_c1", "a choir")]
generate_candidates(ToyGenerator(seconds_a_clip=0.2), prompts, Path(sys.argv[1]), 3, duration_s=0.1, batch=1)
"""


def test_a_killed_run_goes_on(whole, tmp_path):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    run = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path)], env=environment, stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + 120
    while len(list(tmp_path.glob("*.wav"))) < 3 and time.monotonic() < give_up:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    made, before, _ = generate(tmp_path)
    assert before >= 3
    assert made == 9 - before > 0
    assert contents(tmp_path) == contents(whole)


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    generate(tmp_path, count=1)

    def full(self, data):
        Path.open(self, "wb").close()
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left on device"):
            write_wave(tmp_path / "calm_c1.wav", torch.zeros(1, 100), 16_000)
    assert len(list(tmp_path.glob("*.wav"))) == 3
    assert generate(tmp_path, count=2) == (3, 3, 0)


def test_a_folder_tells_how_many_candidates_it_has(whole, tmp_path):
    assert count_candidates(whole, PROMPTS) == (3, 0)
    assert count_candidates(whole, PROMPTS[:1]) == (3, 6)
    for name in ("7_c12.wav", "7_c03.wav", "7.wav", "calm_c1.mp3", "8_c50.wav"):
        (tmp_path / name).touch()
    assert count_candidates(tmp_path, PROMPTS) == (13, 3)
    with pytest.raises(ValueError, match=r"has none of these prompts, expected files such as x_c0\.wav"):
        count_candidates(whole, [Prompt("x", "x")])
    with pytest.raises(ValueError, match="none is no folder"):
        count_candidates(tmp_path / "none", PROMPTS)


def toy_scorer(checkpoint=None, **options):
    return Scorer(checkpoint or random_checkpoint(TOY), toy_stack(), **options)


def test_candidates_are_scored_under_their_prompt_number_by_number(whole, tmp_path):
    scorer, candidates = toy_scorer(), list_candidates(whole, PROMPTS, 3)
    scored = score_candidates(scorer, candidates, tmp_path / "s.csv")
    assert [each.candidate for each in scored] == candidates
    assert [each.id for each in candidates[:4]] == ["calm_c0", "7_c0", "a_c1_c0", "calm_c1"]
    for each in scored:
        prompt = "high quality instrumental music, " + each.candidate.prompt.text
        assert each.reward == scorer.score(each.candidate.path, prompt=prompt)
        assert (each.std, each.flags, each.error) == (None, ("short", "prompt_cut"), None)
    empty = score_candidates(scorer, candidates, tmp_path / "e.csv", protocol="empty")
    assert empty[0].reward == scorer.score(candidates[0].path)
    plain = score_candidates(scorer, candidates, tmp_path / "p.csv", prefix="")
    assert plain[0].reward == scorer.score(candidates[0].path, prompt="calm piano")


def test_an_ensemble_tells_how_far_its_members_disagree(whole, tmp_path):
    scorer = toy_scorer(random_ensemble(3, encoders=TOY), conservative=1.0)
    (scored,) = score_candidates(scorer, list_candidates(whole, PROMPTS[:1], 1), tmp_path / "s.csv", prefix="")
    expected = scorer.predict(scored.candidate.path, prompt="calm piano")
    assert (scored.reward, scored.std) == (expected.reward, expected.std)
    assert scored.std > 0


def test_candidates_that_cannot_be_heard_are_errors_and_the_others_are_scored(whole, tmp_path):
    for path in whole.glob("*.wav"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "7_c1.wav").unlink()
    (tmp_path / "calm_c2.wav").write_bytes(b"not a sound")
    scored = score_candidates(toy_scorer(), list_candidates(tmp_path, PROMPTS, 3), tmp_path / "s.csv")
    failed = {each.candidate.id: each.error for each in scored if each.reward is None}
    assert set(failed) == {"7_c1", "calm_c2"}
    assert failed["7_c1"] == "no such file"
    assert sum(each.error is None for each in scored) == 7


def test_scoring_goes_on_and_more_candidates_come_behind(whole, tmp_path):
    out = tmp_path / "s.csv"
    score_candidates(toy_scorer(), list_candidates(whole, PROMPTS, 2), out)
    first = out.read_bytes()
    everything = score_candidates(toy_scorer(), list_candidates(whole, PROMPTS, 3), out)
    table = out.read_bytes()
    assert table.startswith(first)
    for cut in (0, len(first) + 7, len(table) - 1):
        out.write_bytes(table[:cut])
        assert score_candidates(toy_scorer(), list_candidates(whole, PROMPTS, 3), out) == everything
        assert out.read_bytes() == table
    with pytest.raises(ValueError, match="name a new file"):
        score_candidates(toy_scorer(random_checkpoint(TOY, seed=1)), list_candidates(whole, PROMPTS, 3), out)
    with pytest.raises(ValueError, match=r"out: suffix: got '\.jsonl', accepted are '\.csv'"):
        score_candidates(toy_scorer(), [], tmp_path / "s.jsonl")
