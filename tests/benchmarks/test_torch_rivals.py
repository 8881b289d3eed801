"""The torch rivals do the published work: same loss, gradients and running statistics, however they are written."""

import pytest
import torch
from torch import Tensor

from benchmarks.torch_rivals import VARIANTS, PromptOnceHead, PublishedHead, StackedHead, TorchData, make_steps

CLIP, PROMPT, WIDTHS = 5, 3, (4, 3)


def data(pairs: int = 7) -> TorchData:
    generator = torch.Generator().manual_seed(0)
    clip, prompt = (torch.randn(6, dim, generator=generator, dtype=torch.float64) for dim in (CLIP, PROMPT))
    index = torch.randint(6, (pairs, 3), generator=generator)
    return TorchData(clip, prompt, index, torch.rand(pairs, generator=generator, dtype=torch.float64))


def published() -> PublishedHead:
    """With Linear biases of zero, as the recipe starts: a running mean would hold them, and rivals have none."""
    torch.manual_seed(1)
    head = PublishedHead(CLIP, PROMPT, WIDTHS, dropout=0.0).double()
    for bias in linear_biases(head).values():
        torch.nn.init.zeros_(bias)
    return head


def linear_biases(head: PublishedHead) -> dict[str, torch.nn.Parameter]:
    linears = {name: module for name, module in head.named_modules() if isinstance(module, torch.nn.Linear)}
    return {f"{name}.bias": module.bias for name, module in linears.items()}


def as_parts(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published state as a head names it that splits its first layer."""
    clip, prompt = state["net.0.weight"].split([CLIP, PROMPT], dim=1)
    return state | {"clip.weight": clip, "prompt.weight": prompt}


def same_weights(head: PublishedHead, state: dict[str, Tensor]) -> PublishedHead:
    state = {name: value.clone() for name, value in as_parts(state).items()}
    head.double().load_state_dict({name: state[name] for name in head.state_dict()})
    return head


def gradients(head: PublishedHead) -> dict[str, Tensor]:
    return {name: p.grad for name, p in head.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("rival", [StackedHead, PromptOnceHead])
def test_a_rival_agrees_with_the_published_head(rival: type[PublishedHead]) -> None:
    oracle, batch = published(), data().batch(torch.arange(7))
    head = same_weights(rival(CLIP, PROMPT, WIDTHS, dropout=0.0), oracle.state_dict())
    expected, loss = oracle.pair_loss(*batch), head.pair_loss(*batch)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    expected.backward()
    loss.backward()
    wanted = as_parts(gradients(oracle))
    for name, gradient in gradients(head).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-9, atol=1e-14, msg=name)
    buffers = dict(oracle.named_buffers())
    for name, value in head.named_buffers():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(value, buffers[name], rtol=1e-12, atol=1e-14, msg=name)


def test_only_biases_without_a_gradient_are_left_out() -> None:
    oracle = published()
    oracle.pair_loss(*data().batch(torch.arange(7))).backward()
    kept = {name for name, _ in StackedHead(CLIP, PROMPT, WIDTHS).named_parameters()}
    biases = linear_biases(oracle)
    assert gradients(oracle).keys() - kept == biases.keys()
    assert all(bias.grad is not None and bias.grad.abs().max() < 1e-14 for bias in biases.values())


@pytest.mark.parametrize("variant", [name for name in VARIANTS if "compiled" not in name])
def test_a_variant_trains(variant: str) -> None:
    small = data()
    small = TorchData(small.clip.float(), small.prompt.float(), small.index, small.target.float())
    make_steps(variant, small, batch_size=3, steps=2)()


def test_a_batch_is_the_rows_of_its_pairs() -> None:
    small, rows = data(), torch.tensor([4, 2])
    clip, prompt, target = small.batch(rows)
    for place, row in enumerate(rows.tolist()):
        a, b, text = small.index[row].tolist()
        assert torch.equal(clip[place], torch.stack([small.clip[a], small.clip[b]]))
        assert torch.equal(prompt[place], small.prompt[text])
        assert target[place] == small.target[row]
