"""Arrays under their torch names: there and back, into torch, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from closeness import assert_close
from torch_twin import Twin

from tunejury_jax.head import Head, evaluate_head, initialise
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.state_dict import expected_shapes, from_state_dict, infer_config, to_state_dict

CONFIG = HeadConfig(6, (5, 3))


@pytest.fixture
def state():
    torch.manual_seed(0)
    return Twin(6, (5, 3)).unsettle(1).arrays()


def test_torch_to_flax_and_back_is_bitwise(state):
    back = to_state_dict(from_state_dict(state, CONFIG))
    assert back.keys() == state.keys()
    for name in state:
        np.testing.assert_array_equal(back[name], state[name])
        assert back[name].dtype == np.float32
        assert back[name].flags.c_contiguous


def test_flax_to_torch_and_back_is_bitwise():
    variables = initialise(CONFIG, jax.random.key(0))
    back = from_state_dict(to_state_dict(variables), CONFIG)
    assert jax.tree.structure(back) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_torch_takes_it_strictly_and_scores_alike():
    variables = initialise(CONFIG, jax.random.key(0))
    x = np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32)
    twin = Twin(6, (5, 3)).take(to_state_dict(variables)).eval()
    with torch.no_grad():
        expected = twin(torch.from_numpy(x)).numpy()
    assert_close(evaluate_head(Head((5, 3)), variables, jnp.asarray(x)), expected)


def test_shapes_are_told_before_there_are_arrays(state):
    assert expected_shapes(CONFIG) == {name: values.shape for name, values in state.items()}


def test_arrays_keep_their_type(state):
    halves = from_state_dict({name: values.astype(np.float16) for name, values in state.items()}, CONFIG)
    assert {leaf.dtype for leaf in jax.tree.leaves(halves)} == {np.dtype(np.float16)}


def test_a_change_of_the_arrays_it_came_from_does_not_reach_a_head():
    # JAX's own copy of an array of this size is often not yet made when the next line runs.
    config = HeadConfig(2048, (1024,))
    original = {name: np.ones(shape, np.float32) for name, shape in expected_shapes(config).items()}
    for _ in range(20):
        mine = {name: values.copy() for name, values in original.items()}
        variables = from_state_dict(mine, config)
        mine["net.0.weight"][...] = 7
        np.testing.assert_array_equal(variables["params"]["linear_0"]["weight"], 1)


def test_a_change_of_the_arrays_a_head_gave_does_not_reach_it(state):
    variables = from_state_dict(state, infer_config(state))
    for values in to_state_dict(variables).values():
        values[...] = 7
    for name, values in to_state_dict(variables).items():
        np.testing.assert_array_equal(values, state[name])


def test_torchs_counters_are_passed_over(state):
    counted = state | {f"net.{place}.num_batches_tracked": np.int64(7) for place in (1, 5)}
    jax.tree.map(np.testing.assert_array_equal, from_state_dict(counted, CONFIG), from_state_dict(state, CONFIG))


def test_the_shape_of_a_head_is_read_off_its_arrays(state):
    assert infer_config(state) == CONFIG
    assert infer_config(Twin(3, (4,)).arrays()) == HeadConfig(3, (4,))


@pytest.mark.parametrize("names", [(), ("net.0.weight",), ("net.4.weight", "net.8.weight"), ("net.1.weight",)])
def test_arrays_without_two_linears_are_no_head(state, names):
    with pytest.raises(ValueError, match=r"expected matrices net\.0\.weight, net\.4\.weight, \.\.\., got \["):
        infer_config({name: state[name] for name in names})


def test_a_missing_array_is_named(state):
    del state["net.5.running_var"]
    with pytest.raises(ValueError, match=r"\['net.5.running_var'\] missing, expected 14 arrays for widths \(5, 3\)"):
        from_state_dict(state, CONFIG)


def test_an_unknown_array_is_named(state):
    state["score.0.weight"] = np.zeros((5, 6), np.float32)
    with pytest.raises(ValueError, match=r"\['score.0.weight'\] are not arrays of a head with widths \(5, 3\)"):
        from_state_dict(state, CONFIG)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("net.0.weight", lambda v: v.T, r"net.0.weight: got shape \(6, 5\), expected \(5, 6\)"),
        ("net.8.bias", lambda v: v[None], r"net.8.bias: got shape \(1, 1\), expected \(1,\)"),
        ("net.4.bias", lambda v: v.astype(np.int32), "net.4.bias: got int32, expected a floating type"),
        ("net.5.weight", lambda v: v * np.float32("nan"), "net.5.weight: holds values that are not finite"),
        ("net.8.weight", lambda v: np.full_like(v, np.inf), "net.8.weight: holds values that are not finite"),
        ("net.1.running_var", lambda v: v - 100, "net.1.running_var: holds a negative variance"),
    ],
)
def test_an_unusable_array_is_named(state, name, change, message):
    state[name] = change(state[name])
    with pytest.raises(ValueError, match=message):
        from_state_dict(state, CONFIG)


def test_a_negative_mean_is_fine(state):
    state["net.1.running_mean"] -= 100
    from_state_dict(state, CONFIG)
