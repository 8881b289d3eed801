"""The same training step in PyTorch, written as well as we can: eager, fused AdamW, stacked sides, compiled."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tunejury_jax.head_config import PAPER_WIDTHS

__all__ = ["VARIANTS", "TorchData", "make_steps"]

VARIANTS = ("eager", "fused", "fused, stacked", "fused, stacked, compiled")


class TorchData:
    """Features and labels resident in memory, as ours are."""

    def __init__(self, clip: Tensor, prompt: Tensor, index: Tensor, target: Tensor) -> None:
        self.clip, self.prompt, self.index, self.target = clip, prompt, index, target

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, b, text = self.index[rows].unbind(1)
        prompt = self.prompt[text]
        x_a, x_b = (torch.cat([self.clip[side], prompt], dim=1) for side in (a, b))
        return x_a, x_b, self.target[rows]


def make_steps(variant: str, data: TorchData, batch_size: int, steps: int) -> Callable[[], None]:
    """A function that runs some training steps of the published recipe."""
    torch.manual_seed(0)
    stacked = "stacked" in variant
    head = StackedHead() if stacked else PublishedHead()
    parameters = [p for p in head.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-3, fused=True if "fused" in variant else None)
    loss_of = torch.compile(head.pair_loss) if "compiled" in variant else head.pair_loss

    def run() -> None:
        order = torch.randperm(len(data.target))[: steps * batch_size].view(steps, batch_size)
        for rows in order:
            loss = loss_of(*data.batch(rows))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return run


class PublishedHead(nn.Module):
    """As published: two forward passes through one Sequential."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((2048, *PAPER_WIDTHS), PAPER_WIDTHS, strict=False):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(0.5)]
        self.net = nn.Sequential(*layers, nn.Linear(PAPER_WIDTHS[-1], 1))

    def pair_loss(self, a: Tensor, b: Tensor, target: Tensor) -> Tensor:
        margin = (self.net(a) - self.net(b)).squeeze(1)
        return nn.functional.binary_cross_entropy_with_logits(margin, target)


class StackedHead(PublishedHead):
    """Both sides in one matrix product; the biases that have no gradient are gone."""

    def __init__(self) -> None:
        super().__init__()
        for module in self.net:
            if isinstance(module, nn.Linear):
                module.register_parameter("bias", None)

    def pair_loss(self, a: Tensor, b: Tensor, target: Tensor) -> Tensor:
        x, pairs = torch.cat([a, b]), len(a)
        for module in self.net:
            per_side = isinstance(module, nn.BatchNorm1d)
            x = torch.cat([module(x[:pairs]), module(x[pairs:])]) if per_side else module(x)
        margin = (x[:pairs] - x[pairs:]).squeeze(1)
        return nn.functional.binary_cross_entropy_with_logits(margin, target)
