"""A backbone whose clips are noise of a loudness that it learns; quick, with every interface of fine-tuning."""

import zlib

import torch
from torch import nn

__all__ = ["ToyLearner"]


class ToyLearner:
    """Clips of a prompt and seed: noise of level exp(mean + spread * draw); learns the mean of the levels it hears."""

    name = "toy-learner"
    sample_rate_hz = 16_000
    spread = 0.5

    def __init__(self, dropout: float = 0.0) -> None:
        self.trained = nn.Sequential(nn.Linear(1, 1), nn.Dropout(dropout)).requires_grad_(False).eval()
        nn.init.zeros_(self.trained[0].weight)
        nn.init.constant_(self.trained[0].bias, -3.0)
        self.weights: dict[str, str] = {"sha256": "toy"}
        self.heard: list[int] = []
        self.holds = 1000

    def provenance(self):
        return {"generator": self.name, "weights": dict(self.weights)}

    def generate(self, prompts, seeds, duration_s):
        return torch.stack([self._clip(*each, duration_s) for each in zip(prompts, seeds, strict=True)])

    def encode(self, waves, sample_rate_hz):
        assert sample_rate_hz == self.sample_rate_hz
        return waves.square().mean((1, 2)).sqrt().log()[:, None]

    def loss(self, examples, prompts, draws):
        assert len(prompts) == len(examples)
        if len(examples) > self.holds:
            raise torch.OutOfMemoryError("tried to allocate 3 of 2 GiB")
        self.heard.append(len(examples))
        noisy = examples + 0.1 * torch.randn(examples.shape, generator=draws)
        return (self.trained(torch.ones_like(examples)) - noisy).square().mean()

    @property
    def mean(self) -> float:
        return float(self.trained[0].bias + self.trained[0].weight.sum())

    def _clip(self, prompt, seed, duration_s):
        draws = torch.Generator().manual_seed(zlib.crc32(prompt.encode()) + seed)
        level = self.mean + self.spread * torch.randn(1, generator=draws)
        return level.exp() * torch.randn(1, round(duration_s * self.sample_rate_hz), generator=draws)
