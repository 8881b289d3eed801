"""MuLan's transformer blocks against their formula in float64 NumPy, and their symmetry."""

import math

import numpy as np
import pytest
import torch

from feature_export.encoders.muq.blocks import Blocks
from feature_export.encoders.muq.config import BlockSizes

SIZES = BlockSizes(dim=12, depth=2, heads=2, head_dim=5, widening=4)


@pytest.fixture(scope="module")
def blocks() -> Blocks:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Blocks(SIZES).double()
        for value in made.parameters():
            torch.nn.init.normal_(value)
    return made


def steps(rows: int = 3, length: int = 7) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(1).standard_normal((rows, length, SIZES.dim)))


def norm(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return gain * centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).sum(-1, keepdims=True))


def attention(x: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    x = norm(x, w["attention.norm.weight"])
    inner = SIZES.heads * SIZES.head_dim
    queries, both = x @ w["attention.to_q.weight"].T, x @ w["attention.to_kv.weight"].T
    heads = []
    for head in range(SIZES.heads):
        part = slice(head * SIZES.head_dim, (head + 1) * SIZES.head_dim)
        q = unit(queries[:, part]) * w["attention.q_scale"]
        k = unit(both[:, :inner][:, part]) * w["attention.k_scale"]
        weights = np.exp(8 * q @ k.T)
        heads.append(weights / weights.sum(-1, keepdims=True) @ both[:, inner:][:, part])
    return np.concatenate(heads, -1) @ w["attention.to_out.weight"].T


def feed_forward(x: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    content, gate = np.split(norm(x, w["feed_forward.norm.weight"]) @ w["feed_forward.widen.weight"].T, 2, -1)
    gelu = gate * (1 + np.vectorize(math.erf)(gate / np.sqrt(2))) / 2
    return (gelu * content) @ w["feed_forward.narrow.weight"].T


def test_equals_the_formula(blocks: Blocks) -> None:
    expected = steps().numpy()
    for number in range(SIZES.depth):
        w = {key: value.numpy() for key, value in blocks.layers[number].state_dict().items()}
        expected = np.stack([row + attention(row, w) for row in expected])
        expected = np.stack([row + feed_forward(row, w) for row in expected])
    assert np.abs(blocks(steps()).detach().numpy() - expected).max() < 1e-10 * np.abs(expected).max()


def test_steps_have_no_order(blocks: Blocks) -> None:
    order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
    assert torch.allclose(blocks(steps())[:, order], blocks(steps()[:, order]), rtol=1e-10)


def test_no_blocks_change_nothing() -> None:
    none = Blocks(BlockSizes(dim=12, depth=0, heads=2, head_dim=5, widening=4))
    assert torch.equal(none(steps()), steps())
