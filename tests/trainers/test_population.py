"""The engine against torch in float64, and the laws of an epoch: its steps, its order, its compilation, its memory."""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_twin
from closeness import assert_close
from torch_twin import Twin

from trainers import population
from trainers.data import Arrays
from trainers.population import (
    Best,
    Hyper,
    Member,
    batch_of,
    epoch,
    init_member,
    order_pairs,
    run_epoch,
    scores,
    start_member,
    train_step,
)
from trainers.recipe import TrainConfig
from trainers.view import Pairs, View, gather
from tunejury_jax import metrics
from tunejury_jax.head import Head, evaluate_head, join_input, split_input
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.state_dict import from_state_dict, to_state_dict

DIMS, WIDTHS, BATCH, PAIRS = (4, 3, 3), (12, 7), 16, 43  # the last step of an epoch has 11 pairs
DIM = sum(DIMS)
CONFIG, HEAD = HeadConfig(DIM, WIDTHS), Head(WIDTHS)
SHAPE = {"widths": WIDTHS, "batch_size": BATCH}
RECIPE = TrainConfig(learning_rate=3e-3, weight_decay=0.05, dropout=0.0, label_smoothing=0.1, widths=WIDTHS)
TRAIN = Pairs(jnp.arange(31), jnp.arange(31, PAIRS))


def view(**changes):
    """All of the data, or less of it."""
    parts = {"blocks": 3, "prompted": PAIRS, "train": 31, "valid": PAIRS - 31}
    return View(**{name: jnp.asarray(changes.get(name, np.ones(size, bool))) for name, size in parts.items()})


def hyper_of(recipe=RECIPE, **changes):
    return Hyper.of(recipe, view(**changes))


def start(state, hyper, dims=DIMS):
    """A member with the arrays of a torch head."""
    config = HeadConfig(sum(dims), WIDTHS)
    return start_member(split_input(from_state_dict(state, config), dims), hyper)


def joined(params, batch_stats):
    return to_state_dict(join_input({"params": params, "batch_stats": batch_stats}, [True] * 3))


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def twin_of(dtype=torch.float64):
    torch.manual_seed(0)
    return Twin(DIM, WIDTHS).to(dtype).unsettle(1)


def some_arrays(seed=0):
    """Features in the default float type: 4 + 3 columns of 30 clips, 3 of 5 prompts, and a row of no prompt."""
    generator = np.random.default_rng(seed)
    clip, prompt = generator.standard_normal((30, 7)), generator.standard_normal((6, 3))
    prompt[5] = 0
    index = np.stack([*generator.integers(0, 30, (2, PAIRS)), generator.integers(0, 6, PAIRS)], axis=1)
    target = generator.choice([0.0, 0.5, 1.0], PAIRS, p=[0.4, 0.2, 0.4])
    dtype = jnp.zeros(0).dtype
    clips = (jnp.asarray(clip[:, :4], dtype), jnp.asarray(clip[:, 4:], dtype))
    return Arrays(clips, (jnp.asarray(prompt, dtype),), jnp.asarray(index, jnp.int32), jnp.asarray(target, dtype))


def sides_of(arrays, rows):
    """Features of pairs by plain indexing, for torch."""
    clip, prompt = (np.concatenate([np.asarray(block) for block in blocks], axis=1) for blocks in arrays[:2])
    index, target = (np.asarray(values) for values in arrays[2:])
    sides = [np.concatenate([clip[index[rows, side]], prompt[index[rows, 2]]], axis=1) for side in (0, 1)]
    return (*(torch.from_numpy(side) for side in sides), torch.from_numpy(target[rows]))


def smoothed(target, recipe=RECIPE):
    return target * (1 - recipe.label_smoothing) + recipe.label_smoothing / 2


def assert_same_state(member, twin, tolerance):
    found = joined(member.params, member.batch_stats)
    expected = twin.arrays()
    assert found.keys() == expected.keys()
    for name in found:
        assert_close(found[name], expected[name], tolerance)


def test_steps_are_torchs_in_float64_the_short_one_too(x64):
    arrays, twin, hyper = some_arrays(), twin_of(), hyper_of()
    member = start(twin.arrays(), hyper)
    optimizer = torch_twin.adamw(twin, RECIPE.learning_rate, RECIPE.weight_decay)
    step = jax.jit(partial(train_step, HEAD))
    for round_ in range(3):
        order = order_pairs(jax.random.key(round_), jnp.arange(PAIRS), jnp.ones(PAIRS, bool), BATCH)
        for number in range(3):
            rows, real = batch_of(order, jnp.int32(number), BATCH)
            batch = (gather(arrays, rows, hyper.view), arrays.target[rows], real.astype(float))
            member, loss = step(member, hyper, batch, jax.random.key(0))
            a, b, target = sides_of(arrays, np.asarray(order.rows)[number * BATCH : (number + 1) * BATCH])
            assert len(target) == (11 if number == 2 else BATCH)
            assert_close(loss, torch_twin.train_step(twin, optimizer, a, b, smoothed(target)), 1e-10)
    assert_same_state(member, twin, 1e-9)


def order_of(hyper, epoch, pool=None):
    """The rows of an epoch as its definition says: each pair's own draw, in rising order."""
    order_key, _ = jax.random.split(jax.random.fold_in(jax.random.key(int(hyper.seed)), epoch))
    rows = np.flatnonzero(np.ones(31, bool) if pool is None else pool)
    draws = [int(jax.random.bits(jax.random.fold_in(order_key, row), dtype=jnp.uint32)) >> 1 for row in rows]
    return rows[np.argsort(draws, kind="stable")]


@pytest.mark.parametrize("pool", [None, np.arange(31) % 4 != 0], ids=["all", "pool"])
def test_epochs_are_torchs_in_float64(x64, pool):
    arrays, twin = some_arrays(), twin_of()
    judged = np.arange(12) % 3 != 1
    hyper = hyper_of() if pool is None else hyper_of(train=pool, valid=judged)
    member, valid = start(twin.arrays(), hyper), np.asarray(TRAIN.valid)[judged if pool is not None else slice(None)]
    optimizer = torch_twin.adamw(twin, RECIPE.learning_rate, RECIPE.weight_decay)
    for number in (1, 2):
        order = order_of(hyper, number, pool)
        member, found = run_epoch(member, hyper, arrays, TRAIN, **SHAPE)
        batches = [sides_of(arrays, rows) for rows in np.split(order, [16])]
        losses = [torch_twin.train_step(twin, optimizer, a, b, smoothed(y)) for a, b, y in batches]
        assert_close(found.train_loss, np.average(losses, weights=[16, len(order) - 16]), 1e-10)
        with torch.no_grad():
            a, b, target = sides_of(arrays, valid)
            sides = [twin.eval()(a).numpy(), twin(b).numpy()]
        margin = sides[0] - sides[1]
        assert_close(found.valid_loss, metrics.log_loss(margin, target.numpy()), 1e-9)
        assert_close(found.valid_accuracy, metrics.accuracy(margin, target.numpy()).value, 1e-9)
        assert_close(found.valid_score, np.mean(sides), 1e-9)
    assert_same_state(member, twin, 1e-9)


def test_loss_gradients_and_statistics_of_the_first_step_in_float32():
    arrays, twin, hyper = some_arrays(), twin_of(torch.float32), hyper_of()
    member = start(twin.arrays(), hyper)
    rows, weight = jnp.arange(BATCH), (jnp.arange(BATCH) < 13).astype(jnp.float32)
    batch = (gather(arrays, rows, hyper.view), arrays.target[rows], weight)
    member, loss = jax.jit(partial(train_step, HEAD))(member, hyper, batch, jax.random.key(0))
    a, b, target = sides_of(arrays, np.arange(13))
    optimizer = torch_twin.adamw(twin, RECIPE.learning_rate, RECIPE.weight_decay)
    assert_close(loss, torch_twin.train_step(twin, optimizer, a, b, smoothed(target)), 2e-6)
    # After one step Adam's first moment is a tenth of the gradient. Weights are not compared: Adam makes whole steps
    # of gradients that are rounding noise (performance.md section 6).
    moments = joined(member.optimizer[0].mu, member.batch_stats)
    expected = {name: p.grad.numpy() for name, p in twin.named_parameters()}
    for name, gradient in expected.items():
        assert np.abs(10 * moments[name] - gradient).max() <= 2e-5 * np.abs(gradient).max(), name
    for name, value in twin.arrays().items():
        if "running" in name:
            assert_close(moments[name], value, 2e-6)


@pytest.mark.parametrize(
    ("pairs", "batch"), [(2, 2), (3, 2), (7, 3), (8, 4), (9, 4), (10, 4), (33, 32), (64, 32), (5, 32), (2, 32)]
)
def test_an_epoch_has_each_pair_once_but_a_last_one_that_would_be_alone(pairs, batch):
    pool = np.random.default_rng(0).permutation(np.arange(pairs + 7) < pairs)
    rows = np.arange(100, 107 + pairs)
    order = order_pairs(jax.random.key(0), jnp.asarray(rows), jnp.asarray(pool), batch)
    alone = pairs % batch == 1
    steps = [batch_of(order, jnp.int32(n), batch) for n in range(math.ceil((pairs - alone) / batch))]
    seen = [np.asarray(found)[np.asarray(real)] for found, real in steps]
    assert order.used == pairs - alone
    assert [len(found) for found in seen[:-1]] == [batch] * (len(seen) - 1)
    assert len(seen[-1]) >= 2
    assert len(np.unique(np.concatenate(seen))) == pairs - alone == sum(map(len, seen))
    assert np.isin(np.concatenate(seen), rows[pool]).all()


def test_the_order_of_a_pool_does_not_follow_from_the_pairs_beside_it():
    pool = np.array([3, 5, 8, 9, 20, 21, 40])
    wide = order_pairs(jax.random.key(5), jnp.arange(50), jnp.asarray(np.isin(np.arange(50), pool)), 3)
    narrow = order_pairs(jax.random.key(5), jnp.asarray(pool), jnp.ones(7, bool), 3)
    assert np.asarray(wide.rows)[:7].tolist() == np.asarray(narrow.rows).tolist() != pool.tolist()


def test_orders_are_even():
    # Each of 6 orders of 3 pairs should come up 100 times; chi2 of 5 degrees is below 20.5 in 99.9 % of draws.
    draw = jax.jit(jax.vmap(lambda key: order_pairs(key, jnp.arange(3), jnp.ones(3, bool), 4).rows))
    orders = np.asarray(draw(jax.random.split(jax.random.key(0), 600)))
    counts = np.unique(orders @ [9, 3, 1], return_counts=True)[1]
    assert len(counts) == 6
    assert ((counts - 100) ** 2 / 100).sum() < 20.5


def fresh(recipe=RECIPE, **changes):
    hyper = hyper_of(recipe, **changes)
    return init_member(WIDTHS, DIMS, hyper), hyper


def test_a_run_compiles_once_whatever_its_hyper_parameters_and_data():
    before = run_epoch._cache_size()
    recipes = [RECIPE, TrainConfig(widths=WIDTHS), TrainConfig(learning_rate=1.0, dropout=0.9, seed=7, patience=2)]
    for seed, recipe in enumerate(recipes):
        member, hyper = fresh(recipe)
        for _ in range(3):
            member, _ = run_epoch(member, hyper, some_arrays(seed), TRAIN, widths=WIDTHS, batch_size=15)
    assert run_epoch._cache_size() == before + 1  # no other test has batches of 15


def test_data_are_an_argument_of_the_program_and_not_in_it():
    member, hyper = fresh()
    arrays = some_arrays()
    program = jax.make_jaxpr(partial(epoch, **SHAPE))(member, hyper, arrays, TRAIN)
    assert sum(np.size(const) for const in program.consts) < 10
    assert len(program.jaxpr.invars) == len(jax.tree.leaves((member, hyper, arrays, TRAIN)))


def test_a_member_is_given_away():
    member, hyper = fresh()
    kept = jax.tree.leaves(member)
    after, _ = run_epoch(member, hyper, some_arrays(), TRAIN, **SHAPE)
    assert all(leaf.is_deleted() for leaf in kept)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((after, hyper)))


def trajectory(recipe, arrays, epochs=2):
    member, hyper = fresh(recipe)
    for _ in range(epochs):
        member, _ = run_epoch(member, hyper, arrays, TRAIN, **SHAPE)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(member)]


def test_a_trajectory_follows_from_seed_and_data_alone():
    recipe = TrainConfig(learning_rate=1e-2, widths=WIDTHS, seed=3)
    first, again = trajectory(recipe, some_arrays()), trajectory(recipe, some_arrays())
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
    other_seed = trajectory(TrainConfig(learning_rate=1e-2, widths=WIDTHS, seed=4), some_arrays())
    other_data = trajectory(recipe, some_arrays(1))
    for other in (other_seed, other_data):
        assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_epochs_differ_in_order_and_dropout():
    # Without a learning rate the weights stay, so losses of epochs differ only by the order and by what is dropped.
    recipe = TrainConfig(learning_rate=1e-30, weight_decay=0.0, dropout=0.5, widths=WIDTHS)
    (member, hyper), losses = fresh(recipe), []
    for _ in range(3):
        member, found = run_epoch(member, hyper, some_arrays(), TRAIN, **SHAPE)
        losses.append(float(found.train_loss))
    assert len(set(losses)) == 3


def test_a_head_that_does_not_see_a_block_is_a_head_without_it(x64):
    seen = np.repeat([False, True, True], DIMS)
    twin, arrays, hyper = twin_of(), some_arrays(), hyper_of(blocks=[False, True, True])
    state = twin.arrays()
    narrow_state = state | {"net.0.weight": state["net.0.weight"][:, seen]}
    narrow_hyper = hyper_of(blocks=[True, True])
    wide_member, narrow_member = start(state, hyper), start(narrow_state, narrow_hyper, DIMS[1:])
    wide_member, wide = run_epoch(wide_member, hyper, arrays, TRAIN, **SHAPE)
    narrow = arrays._replace(clip=arrays.clip[1:])
    narrow_member, found = run_epoch(narrow_member, narrow_hyper, narrow, TRAIN, **SHAPE)
    assert_close(wide.valid_loss, found.valid_loss)
    weights = wide_member.params["linear_0"]["weight"]
    for wide_weight, weight in zip(weights[1:], narrow_member.params["linear_0"]["weight"], strict=True):
        assert_close(wide_weight, weight, 1e-9)


@pytest.mark.parametrize("rows", [4, 11])
def test_scores_are_those_of_the_head_in_chunks_of_any_size(monkeypatch, rows):
    monkeypatch.setattr(population, "SCORE_CHUNK", 4)
    arrays, whole = some_arrays(), view()
    variables = split_input(from_state_dict(twin_of(torch.float32).arrays(), CONFIG), DIMS)
    numbers = jnp.asarray(np.random.default_rng(1).permutation(PAIRS)[:rows])
    found_of = jax.jit(lambda arrays: scores(HEAD, variables, arrays, numbers, whole))
    expected = jax.jit(lambda arrays: evaluate_head(HEAD, variables, gather(arrays, numbers, whole)))(arrays)
    assert_close(found_of(arrays), expected.T)
    swapped = arrays._replace(index=arrays.index[:, jnp.asarray([1, 0, 2])])
    np.testing.assert_array_equal(found_of(swapped), found_of(arrays)[:, ::-1])


def test_a_seed_means_the_same_head_whatever_random_numbers_jax_prefers():
    recipe, found = replace(RECIPE, dropout=0.3), []
    for preferred in ("threefry2x32", "rbg"):
        with jax.default_prng_impl(preferred):
            member, hyper = fresh(recipe)
            found.append(run_epoch(member, hyper, some_arrays(), TRAIN, **SHAPE)[1])
    assert found[0] == found[1]


def test_a_head_without_an_opinion_is_undecided():
    member, hyper = fresh(blocks=[False, False, False])
    _, found = run_epoch(member, hyper, some_arrays(), TRAIN, **SHAPE)
    assert_close(found.valid_loss, np.float32(math.log(2)))
    assert found.valid_accuracy == 0.5


@jax.jit
def keep_best(member, hyper, loss):
    return population._keep_best(member, hyper, loss)


def stop_early(losses, patience, min_delta):
    """Early stopping as one would write it: best loss, its epoch, and for each epoch whether to go on."""
    best_loss, best_epoch, stale, going_on = np.float32(np.inf), 0, 0, []
    for number, loss in enumerate(losses, start=1):
        if stale < patience and loss < best_loss - np.float32(min_delta):
            best_loss, best_epoch, stale = loss, number, 0
        else:
            stale += 1
        going_on.append(stale < patience)
    return best_loss, best_epoch, going_on


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("patience", "min_delta"), [(1, 0.0), (2, 0.05), (4, 0.3)])
def test_early_stopping_is_the_plain_one(seed, patience, min_delta):
    generator = np.random.default_rng(seed)
    losses = np.round(generator.normal(1, 0.3, 20) - 0.03 * np.arange(20), 1).astype(np.float32)
    losses[generator.random(20) < 0.15] = np.nan
    losses[generator.random(20) < 0.05] = np.inf
    hyper = hyper_of(TrainConfig(patience=patience, min_delta=min_delta))
    zero, weights = jnp.zeros((), jnp.int32), {"w": jnp.zeros(())}
    member = Member(weights, weights, None, zero, zero, Best(jnp.float32(jnp.inf), zero, weights, weights))
    going_on = []
    for number, loss in enumerate(losses, start=1):
        now = {"w": jnp.float32(number)}
        member = member._replace(epoch=jnp.int32(number), params=now, batch_stats=now)
        member = keep_best(member, hyper, jnp.float32(loss))
        going_on.append(bool(member.stale < hyper.patience))
    best_loss, best_epoch, expected = stop_early(losses, patience, min_delta)
    assert going_on == expected
    assert (float(member.best.loss), int(member.best.epoch)) == (float(best_loss), best_epoch)
    assert member.best.params["w"] == member.best.batch_stats["w"] == best_epoch
