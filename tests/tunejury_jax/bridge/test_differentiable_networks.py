"""Rewards of waveforms through tiny CLAP, MERT and MuQ and a JAX head: the Scorer's, with the gradients of finite
differences.

For these the networks are cast to float64. There a central difference with a step of 1e-5 is off by rounding, of about
1e-16 / 1e-5 of the score, and by the third derivative times 1e-10.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from closeness import assert_close
from random_heads import random_checkpoint
from tiny_weights import clap, mert, muq
from torch import Tensor

from feature_export.audio import SignalPath
from feature_export.encoders import Stack, load_stack
from tunejury_jax.bridge.differentiable import DifferentiableScorer
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.scorer import Scorer

RATE_HZ = 24_000
STEP, TOLERANCE = 1e-5, 1e-6
PROMPTS = ["calm piano music", ""]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("weights")
    for name, write in {"clap": clap.write, "mert": mert.write, "muq": muq.write}.items():
        write(root / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEJURY_WEIGHTS", str(root))
        yield root


def in_float64(stack: Stack) -> Stack:
    """Casts the networks; text stays as it was made, a constant of the reward."""
    for encoder in stack.audio:
        network = getattr(encoder, "network", None)
        for part in vars(network).values():
            if isinstance(part, torch.nn.Module):
                part.double()
    return stack


def head(stack: Stack) -> Checkpoint:
    encoders = {name: stack.provenance()[name] for name in stack.layout.names}
    return random_checkpoint(encoders, stack.layout.names, widths=(16, 8))


def total(stack: Stack, prompts: list[str]) -> Callable[[Tensor], Tensor]:
    """The reward of one clip less twice that of another: a mistake in either row shows."""
    reward = DifferentiableScorer(head(stack), stack)
    return lambda samples: reward(samples, RATE_HZ, prompts) @ torch.tensor([1.0, -2.0], dtype=samples.dtype)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("families", [("clap",), ("mert",), ("muq",), ("clap", "mert")], ids="+".join)
def test_gradients_through_a_network_are_those_of_finite_differences(weights: Path, families: tuple[str, ...]) -> None:
    score = total(in_float64(load_stack(families, SignalPath())), PROMPTS if families != ("mert",) else ["", ""])
    samples = 0.1 * drawn(2, RATE_HZ // 4, seed=0)
    leaf = samples.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(score(leaf), leaf)
    assert (gradient.norm(dim=1) > 0).all()
    tolerance = TOLERANCE * float(gradient.norm()) / gradient.numel() ** 0.5  # of a slope along a random direction
    for seed in (1, 2, 3):
        direction = drawn(*samples.shape, seed=seed)
        direction /= direction.norm()
        slope = float((gradient * direction).sum())
        with torch.no_grad():
            ahead, behind = (float(score(samples + sign * STEP * direction)) for sign in (1, -1))
        measured = (ahead - behind) / (2 * STEP)
        assert abs(slope - measured) < tolerance
        assert abs(1.01 * slope - measured) > tolerance


@pytest.mark.parametrize("families", [("clap", "mert"), ("muq",)], ids="+".join)
@pytest.mark.parametrize("train16k", [False, True])
def test_scores_are_the_scorers(weights: Path, families: tuple[str, ...], train16k: bool) -> None:
    """Also of clips that are longer than a window, and at another rate than any encoder's."""
    stack = load_stack(families, SignalPath(train16k=train16k))
    samples = (0.1 * drawn(2, 11 * 22_050, seed=0)).float()
    found = DifferentiableScorer(head(stack), stack)(samples, 22_050, PROMPTS)
    scorer = Scorer(head(stack), stack)
    expected = [scorer.score(clip.numpy(), 22_050, text) for clip, text in zip(samples, PROMPTS, strict=True)]
    assert_close(found.detach(), np.array(expected), 2e-5)
