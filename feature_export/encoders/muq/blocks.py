r"""The transformer blocks that MuLan puts on top of MuQ and of XLM-RoBERTa.

$x \leftarrow x + A(x)$, then $x \leftarrow x + F(x)$, each behind a layer norm without bias, and no norm at the end.
Queries and keys of the attention $A$ have length 1 in every head before they are scaled, per column, and their products
are multiplied by 8. $F$ is a GEGLU: $W_2\,(u \odot \mathrm{gelu}(g))$ with $(u, g) = W_1 x$. There are no positions and
no biases.

Source: `muq_mulan/modules/transformer.py` of the `muq` package.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn, ones

from feature_export.encoders.muq.config import BlockSizes

__all__ = ["Blocks"]

SHARPNESS = 8.0

Steps = Float[Tensor, "batch steps dim"]


class Blocks(nn.Module):
    """All blocks of one side."""

    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Block(sizes) for _ in range(sizes.depth))

    def forward(self, steps: Steps) -> Steps:
        for block in self.layers:
            steps = block(steps)
        return steps


class _Block(nn.Module):
    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        self.attention = _Attention(sizes)
        self.feed_forward = _FeedForward(sizes)

    def forward(self, steps: Steps) -> Steps:
        steps = steps + self.attention(steps)
        return steps + self.feed_forward(steps)


class _Attention(nn.Module):
    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        inner = sizes.heads * sizes.head_dim
        self.head_dim = sizes.head_dim
        self.norm = nn.LayerNorm(sizes.dim, bias=False)
        self.to_q = nn.Linear(sizes.dim, inner, bias=False)
        self.to_kv = nn.Linear(sizes.dim, 2 * inner, bias=False)
        self.q_scale, self.k_scale = (nn.Parameter(ones(sizes.head_dim)) for _ in range(2))
        self.to_out = nn.Linear(inner, sizes.dim, bias=False)

    def forward(self, steps: Steps) -> Steps:
        steps = self.norm(steps)
        queries, keys, values = map(self._heads, (self.to_q(steps), *self.to_kv(steps).chunk(2, dim=-1)))
        queries = F.normalize(queries, dim=-1) * self.q_scale
        keys = F.normalize(keys, dim=-1) * self.k_scale
        heard = F.scaled_dot_product_attention(queries, keys, values, scale=SHARPNESS)
        return self.to_out(heard.transpose(1, 2).flatten(2))

    def _heads(self, steps: Float[Tensor, "batch steps inner"]) -> Float[Tensor, "batch heads steps head_dim"]:
        return steps.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


class _FeedForward(nn.Module):
    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        inner = int(sizes.dim * sizes.widening * 2 / 3)
        self.norm = nn.LayerNorm(sizes.dim, bias=False)
        self.widen = nn.Linear(sizes.dim, 2 * inner, bias=False)
        self.narrow = nn.Linear(inner, sizes.dim, bias=False)

    def forward(self, steps: Steps) -> Steps:
        content, gate = self.widen(self.norm(steps)).chunk(2, dim=-1)
        return self.narrow(F.gelu(gate) * content)
