"""A JAX reward in torch: the values and gradients of the pure-torch twin, whoever calls it and however."""

import importlib
import os
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import pytest
import torch
from closeness import assert_close
from jax.tree_util import Partial
from random_ensembles import random_ensemble
from random_heads import random_checkpoint, random_state
from torch_twin import Twin

from tunejury_jax import bridge
from tunejury_jax.bridge import autograd as module
from tunejury_jax.bridge.autograd import TorchReward, checkpoint_reward
from tunejury_jax.members import take
from tunejury_jax.scorer import Scorer
from tunejury_jax.state_dict import to_state_dict

DIM = 12
PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"


@pytest.fixture(scope="module")
def reward():
    return checkpoint_reward(random_checkpoint())


@pytest.fixture(scope="module")
def twin():
    return Twin(DIM, (6, 4)).take(random_state(random_checkpoint().head)).eval()


def rows(count=5, dtype=torch.float32, seed=0):
    return torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


def gradient(function, x, cotangent):
    return torch.autograd.grad(function(x), x, cotangent)[0]


@pytest.mark.parametrize("batch", [1, 2, 17, 64])
def test_scores_and_gradients_are_the_twins(reward, twin, batch):
    x, cotangent = rows(batch), torch.linspace(-1, 2, batch)
    assert_close(reward(x).detach(), twin(x).detach(), 1e-6)
    assert_close(gradient(reward, x, cotangent), gradient(twin, x, cotangent), 1e-6)


def test_float64_is_computed_in_float64(reward):
    twin = Twin(DIM, (6, 4)).take(random_state(random_checkpoint().head)).eval().double()
    x, cotangent = rows(dtype=torch.float64), torch.linspace(-1, 2, 5, dtype=torch.float64)
    assert_close(reward(x).detach(), twin(x).detach(), 1e-13)
    assert_close(gradient(reward, x, cotangent), gradient(twin, x, cotangent), 1e-13)


@pytest.mark.parametrize("conservative", [0.0, 0.7])
def test_gradients_are_those_of_finite_differences(conservative):
    x = rows(3, torch.float64)
    assert torch.autograd.gradcheck(checkpoint_reward(random_ensemble(3), conservative), (x,))
    assert torch.autograd.gradcheck(checkpoint_reward(random_checkpoint()), (x,))


def test_jax_itself_stays_in_float32_around_it(reward):
    reward(rows(dtype=torch.float64))
    assert jnp.ones(2).dtype == jnp.float32


def test_an_ensemble_scores_as_the_scorer_and_as_its_twins():
    combined, x = random_ensemble(3), rows(9)
    lower = checkpoint_reward(combined, 0.7)
    assert_close(lower(x).detach(), Scorer(combined, conservative=0.7).score_features(x.detach().numpy()), 1e-5)
    states = [to_state_dict(take(combined.stacked, number)) for number in range(3)]
    twins = [Twin(DIM, (6, 4)).take(state).eval() for state in states]

    def oracle(x):
        scores = torch.stack([twin(x) for twin in twins])
        return scores.mean(0) - 0.7 * scores.std(0, correction=0)

    cotangent = torch.linspace(-1, 2, 9)
    assert_close(gradient(lower, x, cotangent), gradient(oracle, x, cotangent), 1e-5)


def test_members_that_agree_have_a_finite_gradient():
    doubled = random_ensemble(2)
    same = jax.tree.map(lambda array: jnp.stack([array[0], array[0]]), doubled.variables)
    agreeing = type(doubled)(doubled.head, doubled.layout, doubled.encoders, same)
    x, cotangent = rows(), torch.ones(5)
    plain = gradient(checkpoint_reward(agreeing), x, cotangent)
    torch.testing.assert_close(gradient(checkpoint_reward(agreeing, 1.0), x, cotangent), plain)


def test_a_row_does_not_depend_on_the_others_and_neither_does_its_gradient(reward):
    x = rows(7)
    one = torch.zeros(7).index_fill(0, torch.tensor([3]), 1.0)
    found = gradient(reward, x, one)
    assert found[3].abs().min() > 0
    assert found[[0, 1, 2, 4, 5, 6]].count_nonzero() == 0
    assert_close(reward(x[3:4]).detach(), reward(x)[3:4].detach(), 1e-6)


def test_bfloat16_is_computed_in_float32_and_its_gradient_comes_back_as_it_went(reward):
    x = rows().detach().bfloat16().requires_grad_()
    found = reward(x)
    assert found.dtype == torch.float32
    assert_close(found.detach(), reward(x.detach().float()), 1e-7)
    assert torch.autograd.grad(found.sum(), x)[0].dtype == torch.bfloat16


def test_no_rows_have_no_scores(reward):
    assert reward(torch.zeros(0, DIM)).shape == (0,)
    assert gradient(reward, rows(0), torch.zeros(0)).shape == (0, DIM)


@pytest.mark.parametrize(
    "view",
    [lambda x: x[:, ::2], lambda x: x[1:, :DIM], lambda x: x[:DIM, :5].T[:, :DIM], lambda x: x[:1, :DIM].expand(4, -1)],
    ids=["strided", "unaligned", "transposed", "expanded"],
)
def test_memory_of_any_kind_is_read_right(reward, twin, view):
    memory = torch.randn(2 * DIM, 2 * DIM, generator=torch.Generator().manual_seed(0))
    x = view(memory)
    assert_close(reward(x), twin(x).detach(), 1e-6)


def aligned(count):
    """Rows that begin at a multiple of 64 bytes."""
    memory = torch.randn(count * DIM + 16)
    start = -memory.data_ptr() % 64 // 4
    return memory[start : start + count * DIM].view(count, DIM)


def test_aligned_memory_is_not_copied_on_the_way_in():
    x = aligned(4)
    assert module._borrowed(x).unsafe_buffer_pointer() == x.data_ptr()


def test_what_comes_out_shares_no_memory_with_jax():
    x = aligned(4)
    found = module._cross(lambda reward, array: array, Partial(jnp.sin), x)
    assert torch.equal(found, x)
    assert found.data_ptr() != x.data_ptr()


def test_writing_to_the_input_afterwards_changes_nothing(reward):
    x = aligned(64)
    first = reward(x)
    kept = first.clone()
    x.zero_()
    assert torch.equal(first, kept)


def test_it_can_be_differentiated_once_and_says_so(reward):
    x = rows()
    with pytest.raises(RuntimeError, match="a JAX reward can be differentiated once"):
        torch.autograd.grad(reward(x).sum(), x, create_graph=True)


def test_it_records_nothing_where_torch_does_not(reward):
    x = rows()
    with torch.no_grad():
        assert not reward(x).requires_grad
    with torch.inference_mode():
        assert_close(reward(x), reward(x.detach()), 1e-7)
    assert not reward(x.detach()).requires_grad
    assert reward(x).requires_grad


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_callers_leave_the_graph_for_it(reward):
    x = rows()

    def caller(x):
        return (reward(x * 2) * 3).sum()

    compiled = torch.compile(caller, backend="eager")
    assert_close(compiled(x).detach(), caller(x).detach(), 1e-6)
    assert_close(torch.autograd.grad(compiled(x), x)[0], torch.autograd.grad(caller(x), x)[0], 1e-6)


def test_a_caller_that_must_be_one_graph_is_refused(reward):
    compiled = torch.compile(lambda x: reward(x * 2), backend="eager", fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match=r"torch\.compiler\.disable"):
        compiled(rows())


def test_threads_may_call_it_at_once(reward, twin):
    def work(number):
        dtype = (torch.float32, torch.float64)[number % 2]
        x = rows(1 + number % 3, dtype, seed=number)
        found = torch.autograd.grad(reward(x).sum(), x)[0]
        alone = rows(1 + number % 3, seed=number) if dtype == torch.float32 else x.detach().float().requires_grad_()
        return float((found - torch.autograd.grad(twin(alone).sum(), alone)[0]).abs().max())

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(work, range(48))) < 1e-6


@pytest.mark.parametrize(
    "x",
    [torch.zeros(DIM), torch.zeros(2, 3, DIM), torch.zeros(2, DIM, dtype=torch.int64), torch.zeros(2, DIM).half()],
    ids=["row", "three axes", "whole numbers", "float16"],
)
def test_other_inputs_are_refused(reward, untyped, x):
    with pytest.raises(
        ValueError, match=r"x: got shape \(.*\) of torch\..*, expected \(batch, dim\) of torch\.float32"
    ):
        reward(x)


def test_a_single_head_has_no_deviation_to_take_off():
    with pytest.raises(ValueError, match=r"conservative: got 0\.5, but the checkpoint has one member"):
        checkpoint_reward(random_checkpoint(), 0.5)


def test_any_jax_function_of_rows_will_do():
    x = rows()
    own = TorchReward(lambda x: jnp.square(x).sum(axis=1))
    assert_close(own(x).detach(), x.detach().square().sum(1))
    assert_close(gradient(own, x, torch.arange(5.0)), 2 * torch.arange(5.0)[:, None] * x.detach())


@pytest.mark.parametrize(("given", "kept"), [(None, "false"), ("true", "true")])
def test_jax_leaves_a_shared_gpu_its_memory_unless_told_otherwise(monkeypatch, given, kept):
    monkeypatch.delenv(PREALLOCATE, raising=False)
    if given:
        monkeypatch.setenv(PREALLOCATE, given)
    importlib.reload(bridge)
    assert os.environ[PREALLOCATE] == kept


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_a_tensor_on_a_gpu_scores_as_on_the_cpu_and_the_gradient_comes_back_there(reward, dtype, tolerance):
    x = rows().detach().to(dtype)
    there, here = x.cuda().requires_grad_(), x.requires_grad_()
    found = reward(there)
    assert found.device.type == "cuda"
    assert_close(found.detach().cpu(), reward(here).detach(), 1e-5)
    slopes = [torch.autograd.grad(reward(leaf).sum(), leaf)[0].float().cpu() for leaf in (there, here)]
    assert_close(*slopes, tolerance)
