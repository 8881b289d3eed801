"""DITTO over many prompts: what is in the folder, what is done again after a kill, and what happens to a bad prompt."""

import csv
import errno
import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from noise_decoder import NoiseDecoder
from random_ensembles import random_ensemble
from random_heads import random_checkpoint

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax.applications.batches import Batches
from tunejury_jax.applications.ditto.folder import DittoFolder, Outcome, Start
from tunejury_jax.applications.ditto.optimisation import Ascent
from tunejury_jax.applications.ditto.report import draw_curves, summarise, write_report
from tunejury_jax.applications.ditto.run import Task, run_ditto
from tunejury_jax.applications.prompts import PREFIX, Prompt
from tunejury_jax.bridge.differentiable import DifferentiableScorer
from tunejury_jax.scorer import Scorer

DURATION_S = 0.25
TEXTS = ["calm piano", "loud drums", "strings", "a choir", "bells"]
STARTS = [Start(Prompt(str(number), text), 42 + 100 * number) for number, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def mel():
    return load_stack(["mel"], SignalPath())


@pytest.fixture(scope="module")
def facts(mel):
    return {"encoders": {name: mel.provenance()[name] for name in mel.layout.names}, "blocks": mel.layout.names}


@pytest.fixture(scope="module")
def scorers(mel, facts):
    """Reward and Scorer of a checkpoint; the head of most tests is compiled once."""

    @cache
    def scorers(seed=0, members=1, conservative=0.0):
        checkpoint = random_ensemble(members, **facts) if members > 1 else random_checkpoint(**facts, seed=seed)
        return DifferentiableScorer(checkpoint, mel, conservative), Scorer(checkpoint, mel, conservative)

    return scorers


@pytest.fixture(scope="module")
def make(scorers):
    def make(generator=None, head=None, **ascent):
        ascent = Ascent(**{"updates": 2, **ascent})
        return Task(generator or NoiseDecoder(), *scorers(**head or {}), ascent, DURATION_S)

    return make


def done(task, out, starts=STARTS, batch=2):
    folder = DittoFolder(out, task.identity())
    return run_ditto(task, starts, folder, Batches(batch)), folder


def wave(path):
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    assert (rate_hz, soundfile.info(path).subtype) == (8000, "FLOAT")
    return torch.from_numpy(samples.T.copy())


def test_every_prompt_has_both_clips_and_their_rewards(make, tmp_path):
    task = make()
    outcomes, folder = done(task, tmp_path)
    assert [each.prompt_id for each in outcomes] == ["0", "1", "2", "3", "4"]
    assert task.generator.rendered == [2, 2, 2, 2, 2] * 2 + [1] * 5  # generate, three iterates, the best once more
    for start, each in zip(STARTS, outcomes, strict=True):
        prompt = PREFIX + start.prompt.text
        before, after = folder.clip("before", each.prompt_id), folder.clip("after", each.prompt_id)
        made = NoiseDecoder().generate([prompt], [start.seed], DURATION_S)[0]
        torch.testing.assert_close(wave(before), made, atol=1e-6, rtol=0)
        assert (each.before, each.after) == (
            task.scorer.score(before, prompt=prompt),
            task.scorer.score(after, prompt=prompt),
        )
        assert each.best == np.argmax(each.rewards) > 0
        assert each.gain == each.after - each.before > 0
        assert each.deviation < 1e-4
        assert each.error is None


def test_a_batch_of_another_size_makes_the_same(make, tmp_path):
    together, _ = done(make(), tmp_path / "together", batch=5)
    alone, _ = done(make(), tmp_path / "alone", batch=1)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.rewards, other.rewards, atol=1e-4)
        assert one.best == other.best


def test_the_reward_of_an_ensemble_is_its_lower_bound(make, tmp_path):
    task = make(head={"members": 3, "conservative": 0.7})
    (each,), folder = done(task, tmp_path, STARTS[:1])
    told = task.scorer.predict(folder.clip("after", "0"), prompt=PREFIX + TEXTS[0])
    assert told.std > 0.01
    assert each.after == pytest.approx(told.mean - 0.7 * told.std, abs=1e-5)
    assert abs(each.rewards[each.best] - each.after) < 1e-4


def test_where_nothing_got_better_the_clip_is_the_one_there_was(make, tmp_path):
    class Rounded(NoiseDecoder):
        def generate(self, prompts, seeds, duration_s):
            return super().generate(prompts, seeds, duration_s) + 1e-6

    (each,), folder = done(make(Rounded(), learning_rate=0.0), tmp_path, STARTS[:1])
    assert (each.best, each.gain) == (0, 0.0)
    assert folder.clip("before", "0").read_bytes() == folder.clip("after", "0").read_bytes()


def test_the_clip_kept_is_the_best_iterates_not_the_lasts(make, tmp_path):
    outcomes, _ = done(make(learning_rate=0.5, updates=5), tmp_path)
    assert any(0 < each.best < 5 for each in outcomes)
    assert all(each.deviation < 1e-4 for each in outcomes)


def test_finished_prompts_are_not_computed_again(make, tmp_path):
    first, _ = done(make(), tmp_path, STARTS[:3])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.wav")}
    task = make()
    outcomes, _ = done(task, tmp_path)
    assert task.generator.rendered == [2] * 5
    assert [each.rewards for each in outcomes[:3]] == [each.rewards for each in first]
    assert {path: path.read_bytes() for path in before} == before
    assert len(outcomes) == 5
    again = make()
    assert done(again, tmp_path)[0] == outcomes
    assert again.generator.rendered == []


def test_a_prompt_with_an_error_is_tried_again_and_others_go_on(make, tmp_path):
    class Spoilt(NoiseDecoder):
        def render(self, noise, prompts, duration_s):
            spoilt = torch.tensor([math.nan if "drums" in prompt else 1.0 for prompt in prompts])
            return super().render(noise, prompts, duration_s) * spoilt[:, None, None]

    outcomes, folder = done(make(Spoilt()), tmp_path)
    assert [each.error is None for each in outcomes] == [True, False, True, True, True]
    assert outcomes[1].error.startswith("iterate 0: ")
    assert not folder.clip("before", "1").exists()
    mended = make()
    outcomes, _ = done(mended, tmp_path)
    assert all(each.error is None for each in outcomes)
    assert mended.generator.rendered == [1] * 5


def test_a_batch_that_does_not_fit_is_halved_and_no_prompt_skipped(make, tmp_path):
    class Small(NoiseDecoder):
        def render(self, noise, prompts, duration_s):
            if len(noise) > 1 and torch.is_grad_enabled():
                raise torch.OutOfMemoryError("no room")
            return super().render(noise, prompts, duration_s)

    task, batches = make(Small()), Batches(4)
    outcomes = run_ditto(task, STARTS, DittoFolder(tmp_path, task.identity()), batches)
    assert (batches.size, batches.halved) == (1, 2)
    assert [each.error for each in outcomes] == [None] * 5

    class Smaller(NoiseDecoder):
        def render(self, noise, prompts, duration_s):
            raise torch.OutOfMemoryError("no room at all")

    with pytest.raises(torch.OutOfMemoryError, match="no room at all"):
        done(make(Smaller()), tmp_path / "other")


def test_weights_that_move_are_noticed(make, tmp_path):
    class Moving(NoiseDecoder):
        def render(self, noise, prompts, duration_s):
            self.network[0].weight.data.add_(1e-6)
            return super().render(noise, prompts, duration_s)

    with pytest.raises(RuntimeError, match="the weights of toy changed during the run"):
        done(make(Moving()), tmp_path, STARTS[:1])


def test_a_folder_of_another_run_is_left_alone(make, tmp_path):
    done(make(), tmp_path, STARTS[:1])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for other, difference in (
        (make(NoiseDecoder("toy2")), "generator.backbone: 'toy', not 'toy2'"),
        (make(updates=3), "ascent.updates: 2, not 3"),
        (make(head={"seed": 1}), "checkpoint: "),
    ):
        with pytest.raises(ValueError, match=f"was made otherwise .{difference}"):
            done(other, tmp_path)
    for changed in (Start(Prompt("0", "another"), 42), Start(STARTS[0].prompt, 43)):
        with pytest.raises(ValueError, match=r"of prompt 'calm piano' with seed 42, now '.*; name a new folder"):
            done(make(), tmp_path, [changed])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"x": 1}'])
def test_a_damaged_outcome_is_refused(make, tmp_path, content):
    done(make(), tmp_path, STARTS[:1])
    (tmp_path / "outcomes/0.json").write_text(content)
    with pytest.raises(ValueError, match=r"0\.json: "):
        done(make(), tmp_path, STARTS[:1])


def test_a_full_disk_ends_the_run_and_the_same_call_goes_on(make, tmp_path, monkeypatch):
    write, written = Path.write_bytes, []

    def full(path, data):
        if path.suffix == ".partial" and ".wav" in path.name and (written.append(path) or len(written) > 3):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        done(make(), tmp_path)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.glob("outcomes/*.json")] == ["0.json"]
    outcomes, _ = done(make(), tmp_path)
    assert len(outcomes) == 5


def outcome(number, before, after, **changed):
    facts = {"rewards": [before, after], "norms": [1.0, 1.1], "best": 1, "before": before, "after": after}
    return Outcome(str(number), "calm", 42, **{**facts, **changed})


FAILED = Outcome("9", "calm", 42, [], [], 0, error="no sound <b>")


def test_the_summary_is_the_means_of_those_that_worked():
    gains = np.array([0.5, 0.25, -0.125, 1.0])
    outcomes = [outcome(number, number - 1.5, number - 1.5 + gain) for number, gain in enumerate(gains)]
    told = summarise([*outcomes, FAILED])
    assert (told["n"], told["failed"]) == (4, {"9": "no sound <b>"})
    assert told["before"]["value"] == 0.0
    assert told["gain"]["value"] == pytest.approx(gains.mean())
    # Paired: the interval knows the gains alone, which differ less than the rewards.
    assert -0.125 <= told["gain"]["low"] < told["gain"]["high"] <= 1.0
    assert told["improved"]["value"] == 0.75
    assert told["improved"]["interval"] == "wilson"
    assert told["disagreeing"] == {}


def test_a_clip_that_scores_otherwise_than_it_was_optimised_is_told():
    told = summarise([outcome(0, 1.0, 2.0), outcome(1, 1.0, 2.0, rewards=[1.0, 2.01])])
    assert told["disagreeing"] == {"1": pytest.approx(0.01)}


def test_nothing_that_worked_is_a_summary_too(tmp_path):
    assert summarise([FAILED]) == {"n": 0, "failed": {"9": "no sound <b>"}}
    write_report([FAILED], DittoFolder(tmp_path, {}), {})
    assert "Failed: no sound &lt;b&gt;" in (tmp_path / "listening.html").read_text()


def test_the_report_has_tables_curves_and_players(tmp_path):
    outcomes = [outcome(0, -1.0, 0.5), FAILED]
    write_report(outcomes, DittoFolder(tmp_path, {}), summarise(outcomes))
    with (tmp_path / "results.csv").open(newline="") as table:
        first, second = csv.DictReader(table)
    assert (first["prompt_id"], first["gain"], first["best"], first["error"]) == ("0", "1.5", "1", "")
    assert (second["before"], second["error"]) == ("", "no sound <b>")
    with (tmp_path / "curves.csv").open(newline="") as table:
        assert [tuple(row.values()) for row in csv.DictReader(table)] == [
            ("0", "0", "-1.0", "1.0"),
            ("0", "1", "0.5", "1.1"),
        ]
    page = (tmp_path / "listening.html").read_text()
    assert page.index("before/0.wav") < page.index("after/0.wav")
    assert json.loads((tmp_path / "summary.json").read_text())["n"] == 1
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_a_curve_is_drawn_for_every_prompt_and_their_mean():
    (axes,) = draw_curves([outcome(0, 0.0, 1.0), outcome(1, 0.0, 3.0), FAILED]).axes
    assert axes.lines[-1].get_ydata().tolist() == [0.0, 2.0]
    assert len(axes.lines) == 5
