"""Expert iteration: who is selected, what rounds and branches do, what a kill and another run leave."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_heads import TOY_BLOCKS, random_state
from safetensors.torch import load_file
from toy_learner import ToyLearner
from toy_stack import TOY, toy_stack

from feature_export.weights.digests import sha256_of
from tunejury_jax.applications.candidates import Candidate, Scored, generator_of
from tunejury_jax.applications.expert_iteration import trainer
from tunejury_jax.applications.expert_iteration.fine_tuning import FineTuning, fine_tune
from tunejury_jax.applications.expert_iteration.report import compared_clips, summarise, write_report
from tunejury_jax.applications.expert_iteration.rounds import PUBLISHED, Expert, Plan
from tunejury_jax.applications.expert_iteration.selection import Selection
from tunejury_jax.applications.expert_iteration.trainer import InProcess
from tunejury_jax.applications.prompts import Prompt
from tunejury_jax.blocks import Layout
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.scorer import Scorer
from tunejury_jax.state_dict import from_state_dict

PROMPTS = [Prompt("calm", "calm piano"), Prompt("7", "fast drums"), Prompt("x", "a choir"), Prompt("y", "strings")]
TUNING = FineTuning(iterations=30, batch_size=4, average=0.5, save_every=10)
PLAN = Plan(candidates=10, selection=Selection(0.2), tuning=TUNING, duration_s=0.05)


def scored(rewards):
    prompt = Prompt("p", "x")
    return [
        Scored(Candidate(prompt, number, Path(f"p_c{number}.wav")), reward, None, (), None)
        for number, reward in enumerate(rewards)
    ]


def numbers(chosen):
    return [each.candidate.number for each in chosen]


def test_the_best_share_is_kept_and_failures_never_are():
    assert numbers(Selection(0.4).of(scored([1.0, None, 3.0, 2.0, 3.0]))) == [2, 4]
    assert numbers(Selection(0.1).of(scored([1.0, None, 3.0]))) == [2]
    assert numbers(Selection(1.0).of(scored([1.0, None, 3.0]))) == [2, 0]


def test_a_threshold_keeps_what_reaches_it():
    assert numbers(Selection(threshold=2.0).of(scored([1.0, None, 3.0, 2.0]))) == [2, 3]
    with pytest.raises(ValueError, match=r"threshold: no reward reaches 4\.0, the highest is 3\.0"):
        Selection(threshold=4.0).of(scored([1.0, 3.0]))


def test_chance_keeps_as_many_whatever_their_rewards():
    rewards = np.random.default_rng(0).normal(size=40).tolist()
    first = numbers(Selection(0.25, by="chance", seed=1).of(scored(rewards)))
    assert len(first) == 10
    assert first == numbers(Selection(0.25, by="chance", seed=1).of(scored(rewards)))
    assert first != numbers(Selection(0.25, by="chance", seed=2).of(scored(rewards)))
    picked = [numbers(Selection(0.25, by="chance", seed=seed).of(scored(rewards))) for seed in range(400)]
    shares = np.bincount(np.ravel(picked), minlength=40) / 400
    assert np.abs(shares - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 400)


@pytest.mark.parametrize("given", [{"keep": 0.0}, {"keep": 1.5}, {"threshold": float("nan")}])
def test_selections_out_of_range_are_refused(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        Selection(**given)


def test_nothing_with_a_reward_is_refused():
    with pytest.raises(ValueError, match="none of 2 has a reward"):
        Selection().of(scored([None, None]))


@pytest.fixture(scope="module")
def scorer():
    """Louder is better: no weight of its head is negative."""
    layout = Layout.of(TOY_BLOCKS)
    config = HeadConfig(layout.dim, (6, 4))
    state = {name: 0 * v if name.endswith("running_mean") else np.abs(v) for name, v in random_state(config).items()}
    return Scorer(Checkpoint(config, layout, TOY, from_state_dict(state, config)), toy_stack())


def run(out, scorer, plan=PLAN, learner=None, rates=(0.1,)):
    return list(Expert(InProcess(learner or ToyLearner()), scorer, PROMPTS, plan, out).run(rates))


def mean(judged):
    return np.mean([clip.reward for clip in judged.clips])


def test_learning_from_the_best_raises_the_reward_and_from_chance_does_not(tmp_path, scorer):
    learner = ToyLearner()
    published, best = run(tmp_path / "best", scorer, learner=learner)
    _, control = run(tmp_path / "chance", scorer, replace(PLAN, selection=Selection(0.2, by="chance")))
    assert (published.branch, published.round, best.branch, best.round) == (PUBLISHED, 0, "lr-0.1", 1)
    assert mean(best) > mean(published) + 3 * abs(mean(control) - mean(published))
    assert learner.mean == -3.0
    assert learner.weights == {"sha256": "toy"}


def test_held_out_clips_have_seeds_of_their_own(tmp_path, scorer):
    plan = replace(PLAN, rounds=2)
    run(tmp_path, scorer, plan)
    manifests = [json.loads(path.read_text()) for path in sorted(tmp_path.rglob("candidates.json"))]
    used = {document["first_seed"] for document in manifests}
    assert used == {42, 42 + 10, plan.held_out_seed}
    assert plan.held_out_seed == 42 + 20


def test_rounds_go_on_from_the_round_before_or_start_again(tmp_path, scorer, monkeypatch):
    plan, starts = replace(PLAN, rounds=3), []

    def recorded(generator, *given):
        starts.append(generator.mean)
        return fine_tune(generator, *given)

    monkeypatch.setattr(trainer, "fine_tune", recorded)
    on = [mean(each) for each in run(tmp_path / "on", scorer, plan)]
    again = [mean(each) for each in run(tmp_path / "again", scorer, replace(plan, restart=True))]
    assert on == sorted(set(on))
    assert len(on) == 4
    assert again[1] == on[1]
    assert starts[0] == -3.0 < starts[1] < starts[2]
    assert starts[3:] == [-3.0] * 3


def test_branches_share_the_first_candidates(tmp_path, scorer):
    judged = run(tmp_path, scorer, rates=(0.1, 0.001))
    assert [each.branch for each in judged] == [PUBLISHED, "lr-0.1", "lr-0.001"]
    assert mean(judged[0]) < mean(judged[2]) < mean(judged[1])
    one, other = ((tmp_path / f"lr-{rate}/round-1/selected.csv").read_text() for rate in ("0.1", "0.001"))
    assert one == other
    assert len(list(csv.DictReader(one.splitlines()))) == 8


def test_candidates_are_scored_without_their_prompts(tmp_path, scorer):
    run(tmp_path, scorer)
    for table in ("candidates.csv", "published/clips.csv", "lr-0.1/round-1/clips.csv"):
        with (tmp_path / table).open(newline="") as file:
            assert {row["prompt"] for row in csv.DictReader(file)} == {""}


def test_a_killed_run_goes_on(tmp_path, scorer):
    plan = replace(PLAN, rounds=2)
    whole = run(tmp_path / "whole", scorer, plan)
    for name, calls in (("generate", 3), ("loss", 3), ("loss", 40)):
        learner = ToyLearner()
        _die_after(learner, name, calls)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", scorer, plan, learner)
        assert learner.mean == -3.0
    found = run(tmp_path / "cut", scorer, plan)
    assert [[clip.reward for clip in each.clips] for each in found] == [
        [clip.reward for clip in each.clips] for each in whole
    ]
    rested = ToyLearner()
    run(tmp_path / "cut", scorer, plan, rested)
    assert rested.heard == []


def _die_after(learner, name, calls):
    right, made = getattr(learner, name), []

    def dies(*given):
        made.append(1)
        if len(made) > calls:
            raise KeyboardInterrupt
        return right(*given)

    setattr(learner, name, dies)


@pytest.mark.parametrize("change", ["candidates", "prompts", "generator", "tuning"])
def test_a_folder_of_another_run_is_refused(tmp_path, scorer, change):
    Expert(InProcess(ToyLearner()), scorer, PROMPTS, PLAN, tmp_path)
    learner, plan, prompts = ToyLearner(), PLAN, PROMPTS
    if change == "candidates":
        plan = replace(PLAN, candidates=11)
    if change == "prompts":
        prompts = PROMPTS[1:]
    if change == "generator":
        learner.weights["sha256"] = "other"
    if change == "tuning":
        plan = replace(PLAN, tuning=replace(TUNING, average=0.4))
    with pytest.raises(ValueError, match=f"is of another run .*{change}"):
        Expert(InProcess(learner), scorer, prompts, plan, tmp_path)
    same = replace(PLAN, tuning=replace(TUNING, learning_rate=1.0), batch=2)
    Expert(InProcess(ToyLearner()), scorer, PROMPTS, same, tmp_path)


@pytest.mark.parametrize("field", ["rounds", "candidates"])
def test_plans_out_of_range_are_refused(field):
    with pytest.raises(ValueError, match=f"{field}: got 0"):
        replace(PLAN, **{field: 0})


def test_the_report_pairs_prompts_and_counts_failures(tmp_path, scorer):
    judged = run(tmp_path, scorer, rates=(0.1, 0.001))
    lost = judged[1].clips[0]._replace(reward=None, error="lost")
    judged[1] = judged[1]._replace(clips=[lost, *judged[1].clips[1:]])
    metrics = {"mad": [{"value": value, "low": 1.0, "high": 2.0, "n": 4} for value in (1.5, 1.75, 1.25)]}
    rows = summarise(judged, metrics)
    gains = [a.reward - b.reward for a, b in zip(judged[1].clips[1:], judged[0].clips[1:], strict=True)]
    assert rows[1]["gain"]["value"] == pytest.approx(np.mean(gains))
    assert rows[1]["improved"]["value"] == np.mean(np.array(gains) > 0)
    assert (rows[1]["failed"], rows[1]["reward"]["n"], "gain" in rows[0]) == (1, 3, False)
    assert [row.get("mad_change") for row in rows] == [None, 0.25, -0.25]
    assert write_report(judged, metrics, tmp_path, {"rounds": 1}) == rows
    document = json.loads((tmp_path / "rounds.json").read_text())
    assert document["rows"][2]["mad"] == metrics["mad"][2]
    page = (tmp_path / "listening.html").read_text()
    assert page.count("<audio") == 4 * 3 - 1
    assert "lr-0.001, round 1" in page
    assert (tmp_path / "frontier.pdf").read_bytes().startswith(b"%PDF-")
    compared = compared_clips(judged)
    assert [[path.name for path in paths] for paths in compared] == [["7_c0.wav", "x_c0.wav", "y_c0.wav"]] * 3
    assert [path.parent.parent.name for path, *_ in compared] == ["published", "round-1", "round-1"]


@pytest.mark.parametrize("judged", [1, 2])
def test_without_side_metrics_the_picture_is_over_rounds(tmp_path, scorer, judged):
    """Also where all branches wait, and only the published weights were judged."""
    write_report(run(tmp_path, scorer)[:judged], {}, tmp_path, {})
    assert (tmp_path / "frontier.png").exists()


def test_tuned_weights_are_those_of_the_backbone_and_stand_with_their_clips(tmp_path, scorer):
    run(tmp_path, scorer)
    folder = tmp_path / "lr-0.1/round-1"
    tuned = load_file(folder / "tuned.safetensors")
    assert tuned.keys() == ToyLearner().trained.state_dict().keys()
    assert not torch.equal(tuned["0.bias"], torch.tensor([-3.0]))
    assert [path.name for path in (folder / "training").iterdir()] == ["losses.csv"]
    published, learnt = (generator_of(of) for of in (tmp_path / "published/clips", folder / "clips"))
    assert published == ToyLearner().provenance()
    assert learnt["weights"] == {"sha256": "toy", "tuned_sha256": sha256_of(folder / "tuned.safetensors")}
