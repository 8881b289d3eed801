"""The member axis: heads stacked, taken out again and laid out for a file without a bit changed."""

import jax
import numpy as np
import pytest
from random_heads import random_checkpoint, random_state

from tunejury_jax.head_config import HeadConfig
from tunejury_jax.members import from_stacked_state, is_stacked, member_count, stack, take, to_stacked_state

CONFIG = HeadConfig(12, (6, 4))


def stacked_state(members):
    states = [random_state(CONFIG, seed) for seed in range(members)]
    return {name: np.stack([state[name] for state in states]) for name in states[0]}


def test_a_single_head_has_no_member_axis():
    variables = random_checkpoint().variables
    assert (is_stacked(variables), member_count(variables)) == (False, 1)


@pytest.mark.parametrize("members", [1, 2, 5])
def test_take_is_the_inverse_of_stack(members):
    heads = [random_checkpoint(seed=seed).variables for seed in range(members)]
    together = stack(heads)
    assert (is_stacked(together), member_count(together)) == (True, members)
    for number, head in enumerate(heads):
        jax.tree.map(np.testing.assert_array_equal, take(together, number), head)


def test_heads_may_be_arrays_of_numpy_as_training_leaves_them():
    heads = [jax.tree.map(np.asarray, random_checkpoint(seed=seed).variables) for seed in range(2)]
    assert [member_count(heads[0]), member_count(stack(heads))] == [1, 2]
    jax.tree.map(np.testing.assert_array_equal, take(stack(heads), 1), heads[1])


@pytest.mark.parametrize("members", [1, 3])
def test_the_arrays_on_disk_are_the_members_arrays_with_one_more_axis_in_front(members):
    state = stacked_state(members)
    found = to_stacked_state(from_stacked_state(state, CONFIG, members))
    assert found.keys() == state.keys()
    for name in state:
        np.testing.assert_array_equal(found[name], state[name])
        assert found[name].flags.c_contiguous


def test_members_keep_their_order():
    variables = from_stacked_state(stacked_state(3), CONFIG, 3)
    for number in range(3):
        jax.tree.map(np.testing.assert_array_equal, take(variables, number), random_checkpoint(seed=number).variables)


@pytest.mark.parametrize("members", [2, 4])
def test_another_number_of_members_is_refused(members):
    with pytest.raises(ValueError, match=rf"net\.0\.weight: got shape \(3, 6, 12\), expected {members} members along"):
        from_stacked_state(stacked_state(3), CONFIG, members)


def test_an_array_without_a_member_axis_is_refused():
    state = stacked_state(3) | {"net.8.bias": np.float32(1.0).reshape(())}
    with pytest.raises(ValueError, match=r"net\.8\.bias: got shape \(\), expected 3 members along its first axis"):
        from_stacked_state(state, CONFIG, 3)


def test_the_member_that_is_no_head_is_named():
    state = stacked_state(3)
    state["net.4.weight"][2, 1, 1] = np.nan
    with pytest.raises(ValueError, match=r"member 2: net\.4\.weight: holds values that are not finite"):
        from_stacked_state(state, CONFIG, 3)
