"""The engine against PyTorch, step by step, in float64 and with short batches through the masked path."""

import numpy as np
import pytest
import torch
from closeness import assert_close

from trainers.parity import run_steps

WIDTHS, DIM = (24, 12, 8), 16


def published_module(seed: int) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    layers: list[torch.nn.Module] = []
    for inputs, outputs in zip((DIM, *WIDTHS), WIDTHS, strict=False):
        layers += [
            torch.nn.Linear(inputs, outputs),
            torch.nn.BatchNorm1d(outputs),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.0),
        ]
    return torch.nn.Sequential(*layers, torch.nn.Linear(WIDTHS[-1], 1))


def state_of(module: torch.nn.Sequential) -> dict[str, np.ndarray]:
    return {f"net.{name}": tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}


def some_batches(sizes: tuple[int, ...], dtype: type) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [
        (
            rng.normal(size=(n, DIM)).astype(dtype),
            rng.normal(size=(n, DIM)).astype(dtype),
            rng.choice([0, 0.5, 1], n).astype(dtype),
        )
        for n in sizes
    ]


def torch_steps(module: torch.nn.Sequential, batches: list, lr: float, weight_decay: float) -> list[float]:
    """As published: two forward passes, binary cross-entropy with logits, AdamW on everything."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=weight_decay)
    losses = []
    for batch in batches:
        a, b, target = (torch.from_numpy(array) for array in batch)
        margin = (module(a) - module(b)).squeeze(1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(margin, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("sizes", [(8, 8, 8), (8, 8, 5), (8, 2), (3,)])
def test_steps_in_float64_are_those_of_torch(sizes: tuple[int, ...]) -> None:
    module, batches = published_module(0).double(), some_batches(sizes, np.float64)
    start = state_of(module)
    expected = torch_steps(module, batches, lr=1e-3, weight_decay=1e-1)
    found = run_steps(start, batches, lr=1e-3, weight_decay=1e-1)
    assert_close(np.array(found["losses"]), np.array(expected), tolerance=1e-10)
    for name, array in found["state_dict"].items():
        assert array.dtype == np.float64
        assert_close(array, state_of(module)[name], tolerance=1e-9)


def test_the_steps_move_every_weight() -> None:
    start = state_of(published_module(0).double())
    found = run_steps(start, some_batches((8, 8), np.float64), lr=1e-2, weight_decay=0.0)["state_dict"]
    assert all(not np.array_equal(found[name], start[name]) for name in found if not name.endswith("bias"))


def test_first_step_in_float32_has_torchs_loss_and_statistics() -> None:
    module, batches = published_module(3), some_batches((32,), np.float32)
    start = state_of(module)
    expected = torch_steps(module, batches, lr=1e-4, weight_decay=1e-3)
    found = run_steps(start, batches, lr=1e-4, weight_decay=1e-3)
    assert_close(np.float32(found["losses"]), np.float32(expected), tolerance=1e-6)
    for name, array in found["state_dict"].items():
        if "running" in name:
            assert_close(array, state_of(module)[name], tolerance=1e-6)


def test_a_batch_of_one_pair_is_refused() -> None:
    with pytest.raises(ValueError, match=r"batches: got sizes \[4, 1\], expected one or more of at least 2 pairs"):
        run_steps(state_of(published_module(0)), some_batches((4, 1), np.float32), lr=1e-3, weight_decay=0.0)


def test_arrays_of_something_else_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected matrices net\.0\.weight, net\.4\.weight, \.\.\., got \['conv"):
        run_steps({"conv.weight": np.zeros((2, 2))}, some_batches((4,), np.float64), lr=1e-3, weight_decay=0.0)
