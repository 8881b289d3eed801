"""Which candidates a backbone learns from."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tunejury_jax.applications.candidates import Scored

__all__ = ["Selection"]

By = Literal["reward", "chance"]


@dataclass(frozen=True)
class Selection:
    """How candidates are selected; failed ones never are.

    Attributes:
        keep: Share of the candidates with the highest rewards, as published.
        threshold: Instead: every candidate with at least this reward (ReST-EM, Singh et al., arXiv 2312.06585).
        by: `chance` takes as many at random: the control that tells learning from the reward from learning at all.
        seed: Of chance.

    Raises:
        ValueError: A share outside (0, 1], or a threshold that is not finite.
    """

    keep: float = 0.1
    threshold: float | None = None
    by: By = "reward"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep: got {self.keep}, accepted are shares above 0, up to 1")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ValueError(f"threshold: got {self.threshold}, accepted are finite rewards")

    def of(self, scored: Sequence[Scored]) -> list[Scored]:
        """The selected candidates, best first; of equal ones the first.

        Raises:
            ValueError: None has a reward, or none reaches the threshold.
        """
        good = sorted((each for each in scored if each.reward is not None), key=lambda each: -(each.reward or 0.0))
        if not good:
            raise ValueError(f"candidates: none of {len(scored)} has a reward")
        if self.threshold is None:
            count = max(1, int(len(scored) * self.keep))
        else:
            count = sum(each.reward >= self.threshold for each in good if each.reward is not None)
            if not count:
                raise ValueError(f"threshold: no reward reaches {self.threshold}, the highest is {good[0].reward}")
        if self.by == "reward":
            return good[:count]
        chosen = random.Random(self.seed).sample(range(len(good)), min(count, len(good)))
        return [good[place] for place in sorted(chosen)]
