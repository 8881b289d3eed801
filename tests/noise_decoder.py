"""A differentiable generator small enough for any test: frozen random convolutions from noise to stereo clips."""

import torch
from torch import nn

__all__ = ["NoiseDecoder"]

CHANNELS, STRIDE = 4, 16


class NoiseDecoder:
    """The prompt sets the level of each channel of the noise; `rendered` has the number of clips of every call."""

    sample_rate_hz = 8000

    def __init__(self, name="toy", gradients=True, dtype=torch.float32):
        self.name, self.rendered, self._gradients, self._dtype = name, [], gradients, dtype
        layers = nn.ConvTranspose1d(CHANNELS, 8, 16, 4), nn.Tanh(), nn.ConvTranspose1d(8, 2, 16, 4)
        self.network = nn.Sequential(*layers).eval().requires_grad_(False).to(dtype)
        draws = torch.Generator().manual_seed(0)
        for weight in self.network.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=draws))

    def provenance(self):
        return {"backbone": self.name}

    def generate(self, prompts, seeds, duration_s):
        if len(prompts) != len(seeds):
            raise ValueError(f"seeds: got {len(seeds)} for {len(prompts)} prompts, expected one each")
        with torch.no_grad():
            return self.render(self.initial_noise(seeds, duration_s), prompts, duration_s)

    def initial_noise(self, seeds, duration_s):
        frames = -(-round(duration_s * self.sample_rate_hz) // STRIDE)
        draws = (torch.randn(CHANNELS, frames, generator=torch.Generator().manual_seed(seed)) for seed in seeds)
        return torch.stack(list(draws)).to(self._dtype)

    def render(self, noise, prompts, duration_s):
        self.rendered.append(len(noise))
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._gradients):
            levels = torch.stack([_levels(prompt) for prompt in prompts]).to(noise)
            return 0.2 * self.network(noise * levels)[..., : round(duration_s * self.sample_rate_hz)]


def _levels(prompt):
    letters = torch.tensor([float(number) for number in prompt.encode()] or [0.0])
    return 1 + 0.5 * torch.sin(letters.sum() * torch.arange(1, CHANNELS + 1))[:, None]
