"""The same training step in PyTorch, written as well as we can: float32 throughout, as ours, and random dropout.

Left out: reduced-precision products, since they change the arithmetic; the foreach optimiser and BatchNorm or layer
norm by hand, which were slower; max-autotune, whose CPU products are for frozen weights only.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunejury_jax.head_config import PAPER_WIDTHS

__all__ = ["VARIANTS", "PromptOnceHead", "PublishedHead", "StackedHead", "TorchData", "make_steps"]

VARIANTS = (
    "eager",
    "fused",
    "fused, stacked",
    "fused, stacked, prompt once",
    "fused, stacked, compiled",
    "fused, stacked, prompt once, compiled",
)


class TorchData:
    """Features and labels resident in memory, as ours are."""

    def __init__(self, clip: Tensor, prompt: Tensor, index: Tensor, target: Tensor) -> None:
        self.clip, self.prompt, self.index, self.target = clip, prompt, index, target

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Clip features [pairs, 2, clip_dim], prompt features [pairs, prompt_dim] and targets of some pairs."""
        index = self.index[rows]
        return F.embedding(index[:, :2], self.clip), F.embedding(index[:, 2], self.prompt), self.target[rows]


def make_steps(variant: str, data: TorchData, batch_size: int, steps: int) -> Callable[[], None]:
    """A function that runs some training steps of the published recipe."""
    torch.manual_seed(0)
    head = _head_type(variant)(data.clip.shape[1], data.prompt.shape[1])
    fused = True if "fused" in variant else None
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-4, weight_decay=1e-3, fused=fused)

    def pair_loss(rows: Tensor) -> Tensor:
        return head.pair_loss(*data.batch(rows))

    loss_of = torch.compile(pair_loss) if "compiled" in variant else pair_loss

    def run() -> None:
        order = torch.randperm(len(data.target))[: steps * batch_size].view(steps, batch_size)
        for rows in order:
            loss = loss_of(rows)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return run


def _head_type(variant: str) -> type["PublishedHead"]:
    if "prompt once" in variant:
        return PromptOnceHead
    return StackedHead if "stacked" in variant else PublishedHead


class PairNorm(nn.BatchNorm1d):
    """Training-only BatchNorm of rows that alternate between side a and side b; each side has its own statistics.

    Seen as one row a pair, the sides are different columns, so one call normalises both and nothing is copied.
    """

    def forward(self, input: Tensor) -> Tensor:
        sides = 2 * self.num_features
        mean, var = input.new_zeros(sides), input.new_ones(sides)
        scale, shift = self.weight.repeat(2), self.bias.repeat(2)
        # A momentum of 1 leaves the statistics of this batch in mean and var.
        paired = F.batch_norm(input.view(-1, sides), mean, var, scale, shift, True, 1.0, self.eps)
        _follow(self.running_mean, mean)
        _follow(self.running_var, var)
        return paired.view_as(input)


@torch.no_grad()
def _follow(running: Tensor | None, sides: Tensor, momentum: float = 0.1) -> None:
    """Moves a running statistic towards side a's, then side b's."""
    assert running is not None
    a, b = sides.chunk(2)
    running.lerp_(a, momentum).lerp_(b, momentum)


class PublishedHead(nn.Module):
    """As published: two forward passes through one Sequential."""

    norm: type[nn.BatchNorm1d] = nn.BatchNorm1d
    biased = True

    def __init__(
        self, clip_dim: int, prompt_dim: int, widths: Sequence[int] = PAPER_WIDTHS, dropout: float = 0.5
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((clip_dim + prompt_dim, *widths), widths, strict=False):
            layers += [nn.Linear(inputs, outputs, self.biased), self.norm(outputs), nn.ReLU(), nn.Dropout(dropout)]
        self.net = nn.Sequential(*layers, nn.Linear(widths[-1], 1, self.biased))

    def margin(self, a: Tensor, b: Tensor) -> Tensor:
        """Score of a less score of b, for rows of joined features."""
        return (self.net(a) - self.net(b)).squeeze(1)

    def pair_loss(self, clip: Tensor, prompt: Tensor, target: Tensor) -> Tensor:
        """Mean loss of a batch of `TorchData`."""
        a, b = (torch.cat([side, prompt], dim=1) for side in clip.unbind(1))
        return F.binary_cross_entropy_with_logits(self.margin(a, b), target)


class StackedHead(PublishedHead):
    """Both sides in one matrix product; the biases that have no gradient are gone."""

    norm = PairNorm
    biased = False

    def pair_loss(self, clip: Tensor, prompt: Tensor, target: Tensor) -> Tensor:
        a, b = self.net(self.rows(clip, prompt)).view(-1, 2).unbind(1)
        return F.binary_cross_entropy_with_logits(a - b, target)

    def rows(self, clip: Tensor, prompt: Tensor) -> Tensor:
        """What enters the stack of layers: a row for each side, side a before side b."""
        return torch.cat([clip, prompt[:, None].expand(-1, 2, -1)], dim=2).flatten(0, 1)


class PromptOnceHead(StackedHead):
    """The first layer in two parts, since the sides of a pair share the product of their prompt."""

    def __init__(
        self, clip_dim: int, prompt_dim: int, widths: Sequence[int] = PAPER_WIDTHS, dropout: float = 0.5
    ) -> None:
        super().__init__(clip_dim, prompt_dim, widths, dropout)
        self.net[0] = nn.Identity()
        self.clip = nn.Linear(clip_dim, widths[0], bias=False)
        self.prompt = nn.Linear(prompt_dim, widths[0], bias=False)

    def rows(self, clip: Tensor, prompt: Tensor) -> Tensor:
        return (self.clip(clip) + self.prompt(prompt)[:, None]).flatten(0, 1)
