"""Fine-tuning: against torch's own loop, the average by hand, kills, memory, bad settings."""

import re
from dataclasses import replace

import pytest
import torch
from toy_learner import ToyLearner

from tunejury_jax.applications.expert_iteration.fine_tuning import FineTuning, fine_tune
from tunejury_jax.applications.generators import TrainableGenerator

HOW = FineTuning(learning_rate=0.01, iterations=12, batch_size=4, average=0.8, save_every=5, weight_decay=0.1)
EXAMPLES = torch.linspace(-2, 2, 10)[:, None]
PROMPTS = [f"prompt {number}" for number in range(10)]


def tuned(folder, learner=None, how=HOW, examples=EXAMPLES, prompts=PROMPTS):
    return fine_tune(learner or ToyLearner(), examples, prompts, how, folder)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_is_adamw_with_the_average_beside_it(tmp_path):
    """Written out again."""
    learner = ToyLearner()
    assert isinstance(learner, TrainableGenerator)
    network = ToyLearner().trained.requires_grad_(True)
    twin = ToyLearner()
    twin.trained = network
    optimiser = torch.optim.AdamW(network.parameters(), 0.01, weight_decay=0.1)
    average = {name: value.detach().double().clone() for name, value in network.state_dict().items()}
    for iteration in range(12):
        draws = torch.Generator().manual_seed(iteration << 32)
        rows = torch.randperm(10, generator=draws)[:4]
        torch.randint(1 << 62, (), generator=draws)
        optimiser.zero_grad()
        twin.loss(EXAMPLES[rows], [""] * 4, draws).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        for name, value in network.state_dict().items():
            average[name] = 0.8 * average[name] + 0.2 * value.detach().double()
    found = tuned(tmp_path, learner)
    for name, value in average.items():
        torch.testing.assert_close(found[name].double(), value, rtol=0, atol=1e-6)


def test_learns_and_leaves_the_backbone_as_it_was(tmp_path):
    learner = ToyLearner()
    before = {name: value.clone() for name, value in learner.trained.state_dict().items()}
    how = replace(HOW, iterations=120, batch_size=10, learning_rate=0.1, average=0.9, weight_decay=0.0)
    found = tuned(tmp_path, learner, how)
    assert same(before, learner.trained.state_dict())
    assert not learner.trained.training
    assert not any(each.requires_grad for each in learner.trained.parameters())
    learner.trained.load_state_dict(found)
    assert learner.mean == pytest.approx(float(EXAMPLES.mean()), abs=0.1)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, dropout):
    whole = tuned(tmp_path / "whole", ToyLearner(dropout))
    learner = ToyLearner(dropout)
    right, calls = learner.loss, []

    def dies(*given):
        calls.append(given)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return right(*given)

    learner.loss = dies
    with pytest.raises(KeyboardInterrupt):
        tuned(tmp_path / "cut", learner)
    again = ToyLearner(dropout)
    assert same(tuned(tmp_path / "cut", again), whole)
    assert len(again.heard) == 7  # iteration 5 was saved
    assert (tmp_path / "cut/losses.csv").read_text() == (tmp_path / "whole/losses.csv").read_text()
    rested = ToyLearner(dropout)
    assert same(tuned(tmp_path / "whole", rested), whole)
    assert rested.heard == []


def test_a_batch_that_does_not_fit_is_heard_in_parts(tmp_path):
    learner = ToyLearner()
    learner.holds = 1
    tuned(tmp_path / "parts", learner)
    assert learner.heard == [1] * 48
    learner.holds = 0
    with pytest.raises(torch.OutOfMemoryError):
        tuned(tmp_path / "none", learner)


def test_parts_have_the_gradient_of_the_whole(tmp_path):
    """Up to their draws, which are set to nothing here."""

    class Still(ToyLearner):
        def loss(self, examples, prompts, draws):
            self.heard.append(len(examples))
            if len(examples) > self.holds:
                raise torch.OutOfMemoryError
            return (self.trained(torch.ones_like(examples)) - examples).square().mean()

    whole, parts = Still(), Still()
    parts.holds = 3  # so that parts differ in size: 2 and 2 of 4, and 2 and 1 of 3
    for how in (HOW, replace(HOW, batch_size=7)):
        one, other = (
            tuned(tmp_path / f"w{how.batch_size}", whole, how),
            tuned(tmp_path / f"p{how.batch_size}", parts, how),
        )
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change", ["settings", "prompts", "examples", "generator"])
def test_a_state_of_another_run_is_refused(tmp_path, change):
    tuned(tmp_path)
    learner, how, examples, prompts = ToyLearner(), HOW, EXAMPLES, PROMPTS
    if change == "settings":
        how = replace(HOW, learning_rate=0.02)
    if change == "prompts":
        prompts = PROMPTS[::-1]
    if change == "examples":
        examples = EXAMPLES.repeat(1, 2)
    if change == "generator":
        learner.weights["sha256"] = "other"
    with pytest.raises(ValueError, match=f"is of another fine-tuning .*{change}"):
        tuned(tmp_path, learner, how, examples, prompts)


def test_a_damaged_state_is_refused(tmp_path):
    tuned(tmp_path)
    state = tmp_path / "training.safetensors"
    state.write_bytes(state.read_bytes()[:50])
    with pytest.raises(ValueError, match="is damaged, delete it"):
        tuned(tmp_path)


def test_a_loss_that_is_not_finite_stops(tmp_path):
    examples = EXAMPLES.clone()
    examples[:] = torch.inf
    with pytest.raises(ValueError, match="learning_rate: the loss is inf at iteration 0"):
        tuned(tmp_path, examples=examples)


def test_clips_and_prompts_are_needed(tmp_path):
    for count, prompts in ((0, []), (10, PROMPTS[:9])):
        with pytest.raises(ValueError, match=re.escape(f"examples: got {count} clips")):
            tuned(tmp_path, examples=EXAMPLES[:count], prompts=prompts)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("iterations", 0),
        ("batch_size", 0),
        ("save_every", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("clip_norm", -1.0),
        ("average", 1.0),
        ("weight_decay", -0.1),
    ],
)
def test_settings_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field}: got"):
        FineTuning(**{field: value})
