"""How a backbone is asked for a clip: what changes its music besides weights, prompt and seed."""

import math
from dataclasses import dataclass

__all__ = ["DiffusionRecipe", "Recipe", "TokenRecipe"]


@dataclass(frozen=True)
class DiffusionRecipe:
    """Of a backbone that turns noise into a clip.

    Attributes:
        steps: Of the sampler.
        guidance: Scale of classifier-free guidance; 1 is none.
        negative_prompt: What guidance leads away from.
        sampler: One of those that the backbone has.

    Raises:
        ValueError: No steps, or a guidance that is negative or not finite.
    """

    steps: int
    guidance: float
    negative_prompt: str = ""
    sampler: str = "euler"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: got {self.steps}, accepted are 1 and more")
        _check_guidance(self.guidance)

    def __str__(self) -> str:
        negative = f', negative "{self.negative_prompt}"' if self.negative_prompt else ""
        return f"{self.steps} steps {self.sampler}, {_guided(self.guidance)}{negative}"


@dataclass(frozen=True)
class TokenRecipe:
    """Of a backbone that draws a clip token by token.

    Attributes:
        guidance: Scale of classifier-free guidance; 1 is none.
        top_k: How many of the likeliest tokens are drawn from.
        temperature: Divides the logits.

    Raises:
        ValueError: A guidance that is negative or not finite, no tokens to draw from, or a temperature that is not
            positive.
    """

    guidance: float
    top_k: int
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_guidance(self.guidance)
        if self.top_k < 1:
            raise ValueError(f"top_k: got {self.top_k}, accepted are 1 and more")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature: got {self.temperature}, accepted are numbers above 0")

    def __str__(self) -> str:
        warmth = f", temperature {self.temperature:g}" if self.temperature != 1 else ""
        return f"sampling, top {self.top_k}, {_guided(self.guidance)}{warmth}"


Recipe = DiffusionRecipe | TokenRecipe


def _check_guidance(guidance: float) -> None:
    if not (math.isfinite(guidance) and guidance >= 0):
        raise ValueError(f"guidance: got {guidance}, accepted are numbers from 0 on")


def _guided(guidance: float) -> str:
    return f"guidance {guidance:g}" if guidance != 1 else "no guidance"
