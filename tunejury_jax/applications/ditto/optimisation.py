r"""DITTO: the noise that a frozen sampler starts from is moved until its clip earns more.

$$z_{k+1} = \mathrm{Adam}(z_k, \nabla_z [w\,\mathrm{penalty}(z_k) - \mathrm{reward}(\mathrm{render}(z_k))])$$

Iterate 0 is the noise of the seed, so its clip is the one that the generator makes anyway. The iterate with the best
reward is kept, that one included, so no clip gets worse. Weights never move.

After Novack et al., "DITTO: Diffusion Inference-Time T-Optimization for Music Generation" (ICML 2024, arXiv
2401.12179), with a learned reward for the loss.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tunejury_jax.applications.generators import DifferentiableGenerator, Generator

__all__ = ["Ascent", "Climb", "Reward", "climb", "norm_penalty", "require_differentiable"]

Reward = Callable[[Float[Tensor, "batch samples"], int, Sequence[str]], Float[Tensor, " batch"]]
"""Of mono clips, their sampling rate in Hz and their prompts; a `bridge.differentiable.DifferentiableScorer` is one."""

Noise = Float[Tensor, "*latent"]


@dataclass(frozen=True)
class Ascent:
    """How noise is moved; the defaults are the paper's.

    Attributes:
        updates: Steps of Adam. The clip is rendered and scored once more than that.
        learning_rate: Of Adam.
        norm_weight: Weight of `norm_penalty`, which keeps the noise as long as noise is; 0 leaves it out.
        patience: Ends after so many updates in a row without a better reward; None for never.

    Raises:
        ValueError: A value is out of its range.
    """

    updates: int = 5
    learning_rate: float = 0.05
    norm_weight: float = 0.0
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("updates", "learning_rate", "norm_weight"):
            if not (math.isfinite(value := getattr(self, name)) and value >= 0):
                raise ValueError(f"{name}: got {value}, accepted are finite numbers from 0")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience: got {self.patience}, accepted are 1 and more, or none")


class Climb:
    """One prompt on its way up, with an optimiser of its own: who else is in the batch does not matter.

    Attributes:
        prompt: What the clip is to be, prefix included.
        rewards: Of every iterate so far.
        norms: Of every iterate so far, its norm over that expected of noise, the root of its size.
        best: The first iterate with the highest reward.
        best_noise: Of that iterate.
        error: Why it ended early; None if it did not.
    """

    def __init__(self, prompt: str, noise: Noise, ascent: Ascent) -> None:
        self.prompt, self.best_noise = prompt, noise.clone()
        self.noise = noise.clone().requires_grad_()
        self.rewards: list[float] = []
        self.norms: list[float] = []
        self.best = 0
        self.error: str | None = None
        self._ascent, self._adam = ascent, torch.optim.Adam([self.noise], lr=ascent.learning_rate)

    @property
    def going(self) -> bool:
        """Whether there is another iterate to look at."""
        waited = len(self.rewards) - 1 - self.best
        return self.error is None and (self._ascent.patience is None or waited < self._ascent.patience)

    def note(self, reward: float) -> None:
        """Takes the reward of the noise as it is now."""
        if not math.isfinite(reward):
            self.error = f"iterate {len(self.rewards)}: the reward is {reward}"
            return
        if not self.rewards or reward > self.rewards[self.best]:
            self.best, self.best_noise = len(self.rewards), self.noise.detach().clone()
        self.rewards.append(reward)
        self.norms.append(float(self.noise.detach().double().norm()) / math.sqrt(self.noise.numel()))

    def loss(self, reward: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """What is made small, of the noise as it is now."""
        if not self._ascent.norm_weight:
            return -reward
        return self._ascent.norm_weight * norm_penalty(self.noise).to(reward) - reward

    def move(self, gradient: Noise) -> None:
        """Makes a step of Adam, to the next iterate."""
        if not gradient.isfinite().all():
            self.error = f"iterate {len(self.rewards) - 1}: the gradient is not finite"
            return
        self.noise.grad = gradient
        self._adam.step()


def climb(
    generator: DifferentiableGenerator,
    reward: Reward,
    prompts: Sequence[str],
    seeds: Sequence[int],
    duration_s: float,
    ascent: Ascent,
) -> list[Climb]:
    """Moves the noise of some clips at once; each goes as it would by itself, up to rounding.

    Args:
        generator: Its weights are left as they are.
        reward: Scores each clip by itself; a ValueError is an error of that clip alone.
        prompts: What the clips are to be, prefix included.
        seeds: One each.
        duration_s: Of every clip, in seconds.
        ascent: How the noise is moved.

    Raises:
        ValueError: The clips have no gradients.
    """
    starts = generator.initial_noise(seeds, duration_s)
    climbs = [Climb(prompt, noise, ascent) for prompt, noise in zip(prompts, starts, strict=True)]
    for iterate in range(ascent.updates + 1):
        going = [each for each in climbs if each.going]
        if not going:
            break
        with torch.set_grad_enabled(iterate < ascent.updates):
            _advance(generator, reward, going, duration_s)
    return climbs


def norm_penalty(noise: Noise) -> Float[Tensor, ""]:
    r"""How unlikely a norm is for standard normal noise; 0 for the likeliest.

    The norm $r$ of $d$ standard normal numbers has the density $p(r) \propto r^{d-1} e^{-r^2/2}$, highest at
    $r^2 = d - 1$, so

    $$-\log p(r) + \max \log p = \frac{d-1}{2} (u - 1 - \ln u), \quad u = \frac{r^2}{d-1}$$

    Args:
        noise: Of one clip, at least two numbers.

    Returns:
        In float64: the terms are some 10^4 times their difference.

    Samuel et al., "Norm-guided latent space exploration for text-to-image generation" (NeurIPS 2023, arXiv
    2306.08687); against reward hacking, with weight 0.01, in Eyring et al., "ReNO: Enhancing One-step Text-to-Image
    Models through Reward-based Noise Optimization" (NeurIPS 2024, arXiv 2406.04312).
    """
    free = noise.numel() - 1
    ratio = noise.double().square().sum() / free
    return free / 2 * (ratio - 1 - ratio.log())


def require_differentiable(generator: Generator) -> DifferentiableGenerator:
    """The generator, if its clips are made from noise that they have gradients to.

    Raises:
        ValueError: They are not.
    """
    if not isinstance(generator, DifferentiableGenerator):
        raise ValueError(f"generator: the clips of {generator.name} have no gradients to the noise they are made from")
    return generator


def _advance(generator: DifferentiableGenerator, reward: Reward, going: Sequence[Climb], duration_s: float) -> None:
    """Scores the clips of the noise as it is, and moves it if gradients are wanted."""
    waves = generator.render(torch.stack([each.noise for each in going]), [each.prompt for each in going], duration_s)
    if torch.is_grad_enabled() and not waves.requires_grad:
        raise ValueError(f"generator: the clips that {generator.name} rendered have no gradients to their noise")
    losses: dict[Climb, Tensor] = {}
    for each, wave in zip(going, waves, strict=True):
        earned = _score(reward, each, wave, generator.sample_rate_hz)
        if earned is not None:
            losses[each] = each.loss(earned)
    if losses and torch.is_grad_enabled():
        # Of the noise alone: nothing else in the graph is given a gradient.
        gradients = torch.autograd.grad(torch.stack(list(losses.values())).sum(), [each.noise for each in losses])
        for each, gradient in zip(losses, gradients, strict=True):
            each.move(gradient)


def _score(
    reward: Reward, climber: Climb, wave: Float[Tensor, "channels samples"], sample_rate_hz: int
) -> Float[Tensor, ""] | None:
    """The reward of a clip; None where there is none, which ends the climb."""
    try:
        earned = reward(wave.mean(0)[None], sample_rate_hz, [climber.prompt])[0]
    except ValueError as error:
        climber.error = f"iterate {len(climber.rewards)}: {error}"
        return None
    climber.note(float(earned.detach()))
    return earned if climber.error is None else None
