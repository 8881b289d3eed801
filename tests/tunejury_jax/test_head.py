"""The head against its torch twin and a float64 oracle, and the laws of its parts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import torch
from closeness import assert_close
from torch_twin import Twin

from tunejury_jax.head import Head, _drop, evaluate_head, initialise, join_input, split_input
from tunejury_jax.head_config import PAPER_WIDTHS, HeadConfig
from tunejury_jax.losses import pair_loss
from tunejury_jax.state_dict import from_state_dict, to_state_dict

DIM, WIDTHS, ROWS = 12, (9, 5), 23
CONFIG, HEAD = HeadConfig(DIM, WIDTHS), Head(WIDTHS)
KEY = jax.random.key(5)


@pytest.fixture
def twin():
    torch.manual_seed(0)
    return Twin(DIM, WIDTHS).double().unsettle(1)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def rows(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal((*shape, DIM))


def variables_of(twin):
    return from_state_dict(twin.arrays(), CONFIG)


@jax.jit
def train_forward(variables, sides, weight, dropout=0.0):
    options = {"weight": weight, "dropout": dropout, "rngs": {"dropout": KEY}, "mutable": ["batch_stats"]}
    return HEAD.apply(variables, sides, **options)


@jax.jit
def gradient(variables, sides, target, weight, dropout=0.0):
    def loss(params):
        scores, _ = train_forward(variables | {"params": params}, sides, weight, dropout)
        return (jax.vmap(pair_loss)(scores[0] - scores[1], target) * weight).sum() / weight.sum()

    return jax.grad(loss)(variables["params"])


@partial(jax.jit, static_argnums=0)
def fresh(config, key):
    return initialise(config, key)


def with_stats(variables, updated):
    return to_state_dict({"params": variables["params"], "batch_stats": updated["batch_stats"]})


def test_evaluation_is_torchs_in_float64(twin, x64):
    x = rows(ROWS)
    with torch.no_grad():
        expected = twin.eval()(torch.from_numpy(x)).numpy()
    found = evaluate_head(HEAD, variables_of(twin), jnp.asarray(x))
    assert found.dtype == np.float64
    assert_close(found, expected)
    assert_close(found, reference.evaluate(twin.arrays(), x))


def test_evaluation_in_float32_is_the_oracles_in_float64(twin):
    twin, x = twin.float(), rows(ROWS).astype(np.float32)
    assert_close(evaluate_head(HEAD, variables_of(twin), jnp.asarray(x)), reference.evaluate(twin.arrays(), x))


def test_published_widths_in_float32():
    torch.manual_seed(0)
    twin = Twin(2048, PAPER_WIDTHS).unsettle(1)
    x = np.random.default_rng(0).standard_normal((40, 2048)).astype(np.float32)
    variables = from_state_dict(twin.arrays(), HeadConfig(2048))
    found, expected = evaluate_head(Head(), variables, jnp.asarray(x)), reference.evaluate(twin.arrays(), x)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_training_output_and_running_statistics_are_torchs_side_by_side(twin, x64):
    a, b = rows(2, ROWS)
    variables = variables_of(twin)
    oracle_scores, oracle_running = reference.train_forward(twin.arrays(), np.stack([a, b]))
    with torch.no_grad():
        twin.train()
        expected = np.stack([twin(torch.from_numpy(side)).numpy() for side in (a, b)])
    scores, updated = train_forward(variables, jnp.asarray([a, b]), jnp.ones(ROWS))
    found = with_stats(variables, updated)
    assert_close(scores, expected)
    assert_close(scores, oracle_scores)
    for name, value in twin.arrays().items():
        assert_close(found[name], value)
    for name, value in oracle_running.items():
        assert_close(found[name], value)


@pytest.mark.parametrize("real", [2, 3, 22])
def test_a_padded_batch_is_the_shorter_batch(twin, x64, real):
    variables, sides = variables_of(twin), jnp.asarray(rows(2, ROWS))
    target = jnp.asarray(np.random.default_rng(1).choice([0.0, 0.5, 1.0], ROWS))
    weight = (jnp.arange(ROWS) < real).astype(float)
    short, whole = (sides[:, :real], target[:real], jnp.ones(real)), (sides, target, weight)
    scores, stats = train_forward(variables, short[0], short[2])
    padded_scores, padded_stats = train_forward(variables, whole[0], whole[2])
    assert_close(padded_scores[:, :real], scores)
    for found, expected in zip(jax.tree.leaves(padded_stats), jax.tree.leaves(stats), strict=True):
        assert_close(found, expected)
    gradients = (jax.tree.leaves(gradient(variables, *batch)) for batch in (whole, short))
    for found, expected in zip(*gradients, strict=True):
        assert_close(found, expected)


def test_gradients_are_torchs(twin, x64):
    a, b = rows(2, ROWS)
    target = np.random.default_rng(1).choice([0.0, 0.5, 1.0], ROWS)
    found = gradient(variables_of(twin), jnp.asarray([a, b]), jnp.asarray(target), jnp.ones(ROWS))
    margin = twin.train()(torch.from_numpy(a)) - twin(torch.from_numpy(b))
    torch.nn.functional.binary_cross_entropy_with_logits(margin, torch.from_numpy(target)).backward()
    for layer, (linear, norm) in enumerate(zip(twin.linears, twin.norms, strict=False)):
        assert_close(found[f"linear_{layer}"]["weight"], linear.weight.grad.numpy())
        assert_close(found[f"norm_{layer}"]["scale"], norm.weight.grad.numpy())
        assert_close(found[f"norm_{layer}"]["bias"], norm.bias.grad.numpy())
    assert_close(found["output"]["weight"], twin.linears[-1].weight.grad.numpy())


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_linear_biases_get_exactly_no_gradient_and_all_else_gets_some(twin, dropout):
    batch = (jnp.asarray(rows(2, ROWS), jnp.float32), jnp.ones(ROWS), jnp.ones(ROWS))
    gradients = gradient(variables_of(twin.float()), *batch, dropout)
    for module, arrays in gradients.items():
        for name, values in arrays.items():
            is_linear_bias = name == "bias" and not module.startswith("norm")
            assert bool(jnp.any(values)) is not is_linear_bias, (module, name)


def test_biases_do_shift_an_evaluated_score(twin):
    arrays, x = twin.float().arrays(), jnp.asarray(rows(3), jnp.float32)
    before = evaluate_head(HEAD, from_state_dict(arrays, CONFIG), x)
    after = evaluate_head(HEAD, from_state_dict(arrays | {"net.8.bias": arrays["net.8.bias"] + 1}, CONFIG), x)
    assert_close(after - before, np.ones(3))


COUNTS = {(2048, PAPER_WIDTHS): 2_791_169, (1536, PAPER_WIDTHS): 2_266_881, (1024, PAPER_WIDTHS): 1_742_593}
COUNTS |= {(512, PAPER_WIDTHS): 1_218_305, (1024, (512, 256, 128, 64)): 699_265}


@pytest.mark.parametrize("shape", COUNTS)
def test_parameter_counts_are_the_published_ones(shape):
    config = HeadConfig(*shape)
    made = jax.eval_shape(lambda key: initialise(config, key), KEY)["params"]
    assert config.parameter_count == COUNTS[shape]
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == COUNTS[shape]
    if shape[0] == 512:
        assert sum(p.numel() for p in Twin(*shape).parameters()) == COUNTS[shape]


@pytest.mark.parametrize(("input_dim", "widths"), [(0, (4,)), (-1, (4,)), (1 << 17, (4,))])
def test_input_width_is_checked(input_dim, widths):
    with pytest.raises(ValueError, match=rf"input_dim: got {input_dim}, accepted are 1 to 65536"):
        HeadConfig(input_dim, widths)


@pytest.mark.parametrize("widths", [(), (0,), (4, -1), (4,) * 33, (1 << 17,)])
def test_hidden_widths_are_checked(widths):
    with pytest.raises(ValueError, match=r"widths: got .*, accepted are 1 to 32 of 1 to 65536"):
        HeadConfig(4, widths)


@pytest.mark.parametrize("input_dim", [8, 600])
def test_initial_weights_are_kaiming_normal_by_outputs_whatever_the_inputs(input_dim):
    params = fresh(HeadConfig(input_dim, (600, 40)), KEY)["params"]
    for name, outputs in (("linear_0", 600), ("linear_1", 40), ("output", 1)):
        weights = np.asarray(params[name]["weight"], np.float64).ravel()
        ratio, spread = weights.var() / (2 / outputs), np.sqrt(2 / len(weights))
        assert abs(ratio - 1) < 5 * spread, name
        # Not truncated: a normal has 1.24 % beyond 2.5 deviations.
        assert len(weights) < 5000 or 0.009 < (np.abs(weights) > 2.5 * weights.std()).mean() < 0.016


def test_all_else_starts_as_in_torch():
    start, twin = to_state_dict(fresh(CONFIG, KEY)), Twin(DIM, WIDTHS).arrays()
    assert start.keys() == twin.keys()
    for name in start:
        assert start[name].dtype == np.float32
        if name.endswith("bias") or int(name.split(".")[1]) % 4 == 1:
            np.testing.assert_array_equal(start[name], twin[name])


def test_weights_follow_from_the_key():
    first, again, other = (to_state_dict(fresh(CONFIG, jax.random.key(seed))) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    weights = [name for name in first if name.endswith("weight") and first[name].ndim == 2]
    assert not any(np.array_equal(first[name], other[name]) for name in weights)


def ones_head(layers):
    """Layers of one hidden unit. The first is 1 in every row and the last is read as it is, so dropout shows."""
    arrays = {"net.0.weight": np.zeros((1, DIM)), "net.1.weight": np.zeros(1), "net.1.bias": np.ones(1)}
    for layer in range(1, layers):  # passes its input on, normalised and moved into the positive
        arrays |= {f"net.{4 * layer}.weight": np.ones((1, 1))}
        arrays |= {f"net.{4 * layer + 1}.weight": np.ones(1), f"net.{4 * layer + 1}.bias": np.full(1, 3.0)}
    arrays |= {f"net.{4 * layer}.bias": np.zeros(1) for layer in range(layers + 1)}
    arrays |= {f"net.{4 * layer + 1}.running_mean": np.zeros(1) for layer in range(layers)}
    arrays |= {f"net.{4 * layer + 1}.running_var": np.ones(1) for layer in range(layers)}
    arrays[f"net.{4 * layers}.weight"] = np.ones((1, 1))
    return from_state_dict({k: v.astype(np.float32) for k, v in arrays.items()}, HeadConfig(DIM, (1,) * layers))


@partial(jax.jit, static_argnames="layers")
def dropped(rate, key=KEY, layers=1):
    inputs, weight = jnp.zeros((2, 5000, DIM)), jnp.ones(5000)
    options = {"weight": weight, "dropout": rate, "rngs": {"dropout": key}, "mutable": ["batch_stats"]}
    return Head((1,) * layers).apply(ones_head(layers), inputs, **options)[0]


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_scales_the_rest(rate):
    scores = np.asarray(dropped(rate))
    kept = scores != 0
    assert_close(scores[kept], np.full(kept.sum(), 1 / (1 - rate)), tolerance=1e-6)
    assert abs((~kept).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / kept.size)
    assert not np.array_equal(kept[0], kept[1])


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 5000])
def test_dropout_of_a_row_tells_nothing_of_another(distance):
    # Four draws come from one hash, those of neighbours among them.
    kept = np.asarray(dropped(0.5)).ravel() != 0
    same = (kept[distance:] == kept[:-distance]).mean()
    assert abs(same - 0.5) < 4 * 0.5 / np.sqrt(kept.size - distance)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_dropout_of_any_number_of_values(rows):
    found = _drop(KEY, jnp.ones((rows, 1)), 0.5)
    assert found.shape == (rows, 1)
    assert set(np.unique(found)) <= {0.0, 2.0}


def test_dropout_follows_from_the_key_and_none_is_none():
    np.testing.assert_array_equal(dropped(0.5), dropped(0.5))
    assert not np.array_equal(dropped(0.5), dropped(0.5, key=jax.random.key(6)))
    np.testing.assert_array_equal(dropped(0.0), 1)
    assert_close(evaluate_head(Head((1,)), ones_head(1), jnp.zeros((4, DIM))), np.ones(4), tolerance=1e-6)


def test_layers_drop_independently():
    # A mask shared by both layers would leave two values: dropped twice, or never.
    _, counts = np.unique(np.round(dropped(0.5, layers=2)[0], 3), return_counts=True)
    assert len(counts) == 3
    assert np.abs(np.sort(counts) / 5000 - [0.25, 0.25, 0.5]).max() < 0.04


def test_swapping_the_sides_negates_the_margin(twin):
    variables, sides = variables_of(twin.float()), jnp.asarray(rows(2, ROWS), jnp.float32)
    evaluated = [evaluate_head(HEAD, variables, s) for s in (sides, sides[::-1])]
    trained = [train_forward(variables, s, jnp.ones(ROWS))[0] for s in (sides, sides[::-1])]
    for forward, backward in (evaluated, trained):
        assert jnp.abs(forward[0] - forward[1]).min() > 0
        np.testing.assert_array_equal(forward[0] - forward[1], -(backward[0] - backward[1]))


def test_an_evaluated_row_does_not_look_at_its_neighbours(twin):
    variables, x = variables_of(twin.float()), jnp.asarray(rows(ROWS), jnp.float32)
    alone = jnp.concatenate([evaluate_head(HEAD, variables, row[None]) for row in x])
    assert_close(evaluate_head(HEAD, variables, x), alone, tolerance=1e-5)


def test_products_are_whole_float32_unless_jax_is_told_otherwise():
    head, x = Head((4,)), jnp.ones((2, 3))
    variables = head.init(jax.random.key(0), x)
    assert "Precision.HIGHEST" in str(jax.make_jaxpr(head.apply)(variables, x))
    with jax.default_matmul_precision("tensorfloat32"):
        assert "HIGHEST" not in str(jax.make_jaxpr(head.apply)(variables, x))


def test_grouped_columns_are_the_joined_ones():
    x = [jax.random.normal(jax.random.key(n), (2, 5, width)) for n, width in enumerate((3, 2))]
    prompt = jax.random.normal(jax.random.key(9), (5, 4))
    joined = jnp.concatenate([*x, jnp.broadcast_to(prompt, (2, 5, 4))], axis=-1)
    head = Head((6, 4))
    variables = head.init(jax.random.key(1), joined)
    grouped = split_input(variables, [3, 2, 4])
    assert_close(evaluate_head(head, grouped, (*x, prompt)), evaluate_head(head, variables, joined))
    again = join_input(grouped, [True, True, True])
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(variables), strict=True))
    without = join_input(grouped, [True, False, True])
    silent = joined.at[..., 3:5].set(0.0)
    seen = jnp.concatenate([joined[..., :3], joined[..., 5:]], axis=-1)
    assert_close(evaluate_head(head, without, seen), evaluate_head(head, variables, silent))
