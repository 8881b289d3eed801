"""The published head and its training step in PyTorch, written plainly: what the JAX engine must agree with."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Twin", "adamw", "train_step"]


class Twin(nn.Module):
    """A head as published: one `Sequential` called `net`, Kaiming normal with `fan_out` on every Linear."""

    def __init__(self, input_dim: int, widths: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise((input_dim, *widths)):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout)]
        self.net = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        for linear in self.linears:
            nn.init.kaiming_normal_(linear.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(linear.bias)

    @property
    def linears(self) -> list[nn.Linear]:
        return [module for module in self.net if isinstance(module, nn.Linear)]

    @property
    def norms(self) -> list[nn.BatchNorm1d]:
        return [module for module in self.net if isinstance(module, nn.BatchNorm1d)]

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[:, 0]

    def unsettle(self, seed: int) -> "Twin":
        """Moves every array away from its initial value, so that none can be mistaken for another or left out."""
        generator = torch.Generator().manual_seed(seed)

        def noise(values: Tensor) -> Tensor:
            return torch.randn(values.shape, generator=generator, dtype=values.dtype)

        with torch.no_grad():
            for linear in self.linears:
                linear.bias.copy_(0.3 * noise(linear.bias))
            for norm in self.norms:
                norm.weight.copy_(1 + 0.2 * noise(norm.weight))
                norm.bias.copy_(0.3 * noise(norm.bias))
                norm.running_mean.copy_(0.5 * noise(norm.running_mean))
                norm.running_var.copy_(torch.exp(noise(norm.running_var)))
        return self

    def arrays(self) -> dict[str, np.ndarray]:
        """Its state dict in NumPy, without BatchNorm's count of batches, which means nothing to a head."""
        state = self.state_dict()
        return {k: v.numpy().copy() for k, v in state.items() if not k.endswith("num_batches_tracked")}

    def take(self, arrays: Mapping[str, np.ndarray]) -> "Twin":
        """Loads arrays under their torch names; any that is missing, left over or of another shape is an error."""
        counts = {k: v for k, v in self.state_dict().items() if k.endswith("num_batches_tracked")}
        self.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in arrays.items()} | counts, strict=True)
        return self


def adamw(twin: Twin, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """The published optimiser: decoupled decay of every parameter."""
    betas = (0.9, 0.999)
    return torch.optim.AdamW(twin.parameters(), lr=learning_rate, betas=betas, eps=1e-8, weight_decay=weight_decay)


def train_step(twin: Twin, optimizer: torch.optim.Optimizer, a: Tensor, b: Tensor, target: Tensor) -> float:
    """One step on one batch of pairs, a forward pass for each side; returns the mean loss.

    Linear biases get a gradient of exactly zero, their true one; what torch computes for them is rounding noise
    (see `tunejury_jax.head`). Their weight decay stays.
    """
    twin.train()
    optimizer.zero_grad()
    loss = F.binary_cross_entropy_with_logits(twin(a) - twin(b), target)
    loss.backward()
    for linear in twin.linears:
        linear.bias.grad.zero_()
    optimizer.step()
    return loss.item()
