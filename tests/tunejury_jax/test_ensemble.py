"""Heads combined: centred on the validation clips, recorded, and refused where they do not belong together."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from closeness import assert_close
from random_ensembles import SHARED, random_ensemble, random_members
from random_heads import TOY_BLOCKS, random_checkpoint, random_state

from tunejury_jax.blocks import Block
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.ensemble import ensemble
from tunejury_jax.members import stack

FACTS = {"training": SHARED, "metrics": {"valid_loss": 0.5, "valid_score_mean": 0.25}}


def features(rows=9, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, 12)).astype(np.float32)


def scores(checkpoint, x):
    return np.asarray(checkpoint.score(jnp.asarray(x)), np.float64)


def measured(checkpoint, x):
    """The head as a run on these validation clips leaves it."""
    return dataclasses.replace(
        checkpoint, metrics={"valid_loss": 0.5, "valid_score_mean": scores(checkpoint, x).mean()}
    )


def test_one_head_is_its_own_ensemble():
    (head,) = random_members(1)
    assert ensemble([head]) is head
    assert ensemble([random_checkpoint()]).metrics == {}  # there is nothing to centre


def test_members_are_the_heads_with_their_biases_shifted_and_nothing_else():
    heads = random_members(3)
    combined = ensemble(heads)
    means = np.array([head.metrics["valid_score_mean"] for head in heads])
    assert combined.members == 3
    for number, head in enumerate(heads):
        variables = jax.tree.map(np.asarray, combined.member(number).variables)
        bias = variables["params"]["output"].pop("bias")
        expected = jax.tree.map(np.asarray, head.variables)
        old = np.float64(expected["params"]["output"].pop("bias"))
        jax.tree.map(np.testing.assert_array_equal, variables, expected)
        assert_close(bias, old + means.mean() - means[number], 1e-6)


def test_all_members_have_one_mean_over_the_clips_that_they_were_centred_on():
    x = features(40)
    heads = [measured(random_checkpoint(seed=seed), x) for seed in range(4)]
    combined = ensemble(heads)
    means = [scores(combined.member(number), x).mean() for number in range(4)]
    before = np.mean([scores(head, x).mean() for head in heads])
    assert np.ptp([scores(head, x).mean() for head in heads]) > 0.1
    assert_close(means, np.full(4, before), 2e-6)
    assert_close(scores(combined, x).mean(), before, 2e-6)
    assert combined.metrics["valid_score_mean"] == pytest.approx(before, abs=1e-6)


def test_margins_are_the_heads_own_and_of_the_mean_their_mean():
    heads, x = random_members(3), features()
    combined = ensemble(heads)
    own = np.stack([np.subtract.outer(s, s) for s in (scores(head, x) for head in heads)])
    for number in range(3):
        found = scores(combined.member(number), x)
        assert_close(np.subtract.outer(found, found), own[number], 5e-6)
    mean = scores(combined, x)
    assert_close(np.subtract.outer(mean, mean), own.mean(axis=0), 5e-6)


def test_the_mean_is_the_oracles():
    heads, x = random_members(3), features()
    expected = [reference.evaluate(random_state(head.head, seed), x) for seed, head in enumerate(heads)]
    assert_close(np.float32(scores(ensemble(heads), x)), np.mean(expected, axis=0))


def test_an_offset_of_a_head_makes_no_difference():
    x, heads = features(40), []
    for seed in range(3):
        head = random_checkpoint(seed=seed)
        offset = jax.tree.map(lambda array: array, head.variables)
        offset["params"]["output"]["bias"] = offset["params"]["output"]["bias"] + 8.0 * (seed - 1)
        heads.append((measured(head, x), measured(dataclasses.replace(head, variables=offset), x)))
    plain, moved = (ensemble(each) for each in zip(*heads, strict=True))
    for number in range(3):
        assert_close(scores(moved.member(number), x), scores(plain.member(number), x), 1e-5)


def test_it_records_what_was_combined():
    heads = random_members(2)
    combined = ensemble(heads)
    shifts = [-(-1.7 - -0.2), -(1.3 - -0.2)]
    assert {name: combined.training[name] for name in SHARED} == SHARED
    for seed, (member, head) in enumerate(zip(combined.training["members"], heads, strict=True)):
        assert member == {
            "sha256": head.sha256,
            "valid_loss": 0.5 + seed / 8,
            "valid_score_mean": head.metrics["valid_score_mean"],
            "shift": pytest.approx(shifts[seed]),
            "config": {"seed": seed},
        }
    assert combined.metrics == {"valid_loss_of_members": [0.5, 0.625], "valid_score_mean": pytest.approx(-0.2)}


def test_its_identity_is_that_of_all_members_in_their_order():
    heads = random_members(4)
    digests = [ensemble(chosen).sha256 for chosen in (heads[:3], heads[1:], heads[2::-1], heads[:2])]
    assert len({*digests, *(head.sha256 for head in heads)}) == 8
    assert ensemble(heads[:3]).sha256 == digests[0]


def test_no_head_is_refused():
    with pytest.raises(ValueError, match="checkpoints: got none, accepted is one or more"):
        ensemble([])


OTHERS = {
    "widths": ({"widths": (6, 5)}, r"widths: \[6, 5\], not \[6, 4\]"),
    "layout": (
        {"blocks": (TOY_BLOCKS[0], Block("verse", 4, "prompt"))},
        r"layout\.verse: \[4, 'prompt'\], not '\(noth",
    ),
    "columns": (
        {"blocks": (TOY_BLOCKS[0], Block("words", 5, "prompt"))},
        r"layout\.words: \[5, 'prompt'\], not \[4, '",
    ),
    "encoders": (
        {"encoders": {"toy": {"encoder": "toy", "revision": "2"}, "words": {"encoder": "words", "revision": "1"}}},
        r"encoders\.toy\.revision: '2', not '1'",
    ),
    "store": ({"training": {**SHARED, "store": {"sha256": "abd"}}}, r"store\.sha256: 'abd', not 'abc'"),
    "data": ({"training": {**SHARED, "data": {}}}, r"data\.zero_prompt_sources: '\(nothing\)', not \['Alpha'\]"),
}


@pytest.mark.parametrize(("change", "message"), OTHERS.values(), ids=OTHERS)
def test_a_head_of_another_kind_is_refused_with_what_differs(change, message):
    other = random_checkpoint(seed=9, **FACTS | change)
    with pytest.raises(ValueError, match=f"member 2: cannot be combined with member 0, it has .*{message}"):
        ensemble([*random_members(2), other])


@pytest.mark.parametrize("mean", [None, float("nan"), float("inf"), "0.5", True])
def test_a_head_that_cannot_be_centred_is_refused_with_the_reason(mean):
    heads = random_members(3)
    heads[1] = dataclasses.replace(heads[1], metrics={"valid_score_mean": mean})
    message = "member 1: metrics.valid_score_mean is .*, accepted is a finite number; a head's score has an arbitrary"
    with pytest.raises(ValueError, match=message):
        ensemble(heads)


def test_a_head_without_the_metric_is_refused():
    with pytest.raises(ValueError, match=r"member 0: metrics\.valid_score_mean is None, .*older versions lack it"):
        ensemble([random_checkpoint(), random_checkpoint(seed=1)])


def test_an_ensemble_is_no_member():
    heads = random_members(3)
    with pytest.raises(ValueError, match="member 1: is an ensemble of 2, accepted are single heads"):
        ensemble([heads[0], ensemble(heads[1:])])


def test_a_head_counts_once():
    heads = random_members(2)
    with pytest.raises(ValueError, match="member 2: is the same head as member 0, accepted is each head once"):
        ensemble([*heads, heads[0]])


def test_stacked_has_a_member_axis_whatever_the_checkpoint():
    (head,), combined = random_members(1), random_ensemble(3)
    assert combined.stacked is combined.variables
    jax.tree.map(np.testing.assert_array_equal, head.stacked, stack([head.variables]))


def test_a_member_by_itself_keeps_the_record_of_training_and_not_the_measurements():
    combined = random_ensemble(3)
    member = combined.member(2)
    assert (member.members, member.training, member.metrics) == (1, combined.training, {})
    assert isinstance(member, Checkpoint)
    assert member.member(0) is member


@pytest.mark.parametrize(("members", "number"), [(3, 3), (3, -1), (1, 1)])
def test_a_member_that_is_not_there_is_refused(members, number):
    checkpoint = random_ensemble(members)
    with pytest.raises(ValueError, match=f"number: got {number}, accepted are 0 to {members - 1}"):
        checkpoint.member(number)


def test_the_mean_can_be_jitted_differentiated_and_vmapped():
    heads, x = random_members(3), jnp.asarray(features(2))
    combined = ensemble(heads)
    gradient = jax.grad(lambda row: combined.score(row[None])[0])
    own = [jax.grad(lambda row, head=head: head.score(row[None])[0])(x[0]) for head in heads]
    assert_close(gradient(x[0]), np.mean(own, axis=0), 2e-6)
    assert_close(jax.jit(jax.vmap(gradient))(x)[0], gradient(x[0]), 2e-6)


def test_the_gradient_of_agreeing_members_is_finite():
    head = random_checkpoint()
    twice = dataclasses.replace(head, variables=stack([head.variables] * 2))
    with jax.debug_nans(True):
        gradient = jax.grad(lambda x: twice.score(x).sum())(jnp.asarray(features(2)))
    assert np.isfinite(gradient).all()
