"""Best of N: of the first N candidates of a prompt, the one with the highest reward.

The sets are nested, so a prompt's reward never falls as N grows. NaN stands for a candidate without a reward, which is
never selected.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tunejury_jax.applications.candidates import Scored
from tunejury_jax.applications.prompts import Prompt
from tunejury_jax.evaluation.estimates import Estimate, estimate_mean

__all__ = ["NONE", "SIZES", "BestOfN", "Rewards", "Selection", "check_sizes", "reward_table", "select"]

SIZES = (1, 2, 4, 8, 16, 32)
"""The published values of N."""

NONE = -1
"""Stands for a candidate where there is none to select."""

Rewards = Float[np.ndarray, "prompts candidates"]


class Selection(NamedTuple):
    """What was selected.

    Attributes:
        sizes: Values of N.
        chosen: Number of the candidate selected for each prompt and N, or `NONE`.
        rewards: Its reward, or NaN.
    """

    sizes: tuple[int, ...]
    chosen: Int[np.ndarray, "prompts sizes"]
    rewards: Float[np.ndarray, "prompts sizes"]

    @property
    def complete(self) -> Int[np.ndarray, " kept"]:
        """The prompts with a candidate at every N. Means are over these, so that they compare between values of N."""
        return np.flatnonzero((self.chosen != NONE).all(axis=1))

    def mean_rewards(self) -> list[Estimate]:
        """The mean reward at each N over the `complete` prompts, of which there is one; bootstrap over prompts."""
        return [estimate_mean(of_size) for of_size in self.rewards[self.complete].T]


@dataclass(frozen=True)
class BestOfN:
    """Prompts, their candidates, and which are the best.

    Attributes:
        prompts: In the order of the selection's rows.
        scored: Candidates, number by number.
        selection: Of these.
    """

    prompts: Sequence[Prompt]
    scored: Sequence[Scored]
    selection: Selection

    @classmethod
    def of(cls, prompts: Sequence[Prompt], scored: Sequence[Scored], sizes: Sequence[int]) -> "BestOfN":
        """Selects among scored candidates, listed number by number; see `select`.

        Raises:
            ValueError: A size is not usable, or no prompt has a candidate with a reward at the smallest one.
        """
        found = cls(prompts, scored, select(reward_table(scored, len(prompts)), sizes))
        if len(found.left_out) == len(prompts):
            reason = found.failed[0].error
            raise ValueError(f"candidates: none of the first {min(sizes)} of any prompt has a reward, since: {reason}")
        return found

    def candidates(self, prompt: int) -> Sequence[Scored]:
        """All candidates of a prompt, by number."""
        return self.scored[prompt :: len(self.prompts)]

    def selected(self, prompt: int) -> Iterator[tuple[int, Scored | None]]:
        """Every N and the candidate that is selected for a prompt, if there is one."""
        for size, number in zip(self.selection.sizes, self.selection.chosen[prompt].tolist(), strict=True):
            yield size, None if number == NONE else self.candidates(prompt)[number]

    def kept(self) -> list[list[Scored]]:
        """For each N the candidates that are selected for the prompts of the means, in the order of these prompts."""
        chosen = self.selection.chosen[self.selection.complete].T.tolist()
        rows = self.selection.complete.tolist()
        return [[self.candidates(row)[number] for row, number in zip(rows, of_size, strict=True)] for of_size in chosen]

    @property
    def failed(self) -> list[Scored]:
        """The candidates without a reward."""
        return [each for each in self.scored if each.reward is None]

    @property
    def left_out(self) -> list[Prompt]:
        """The prompts that are in no mean, since at the smallest N they have no candidate with a reward."""
        complete = set(self.selection.complete.tolist())
        return [prompt for number, prompt in enumerate(self.prompts) if number not in complete]


def check_sizes(sizes: Sequence[int], most: int | None = None) -> tuple[int, ...]:
    """The values of N in ascending order, each once.

    Args:
        sizes: At least one, all from 1.
        most: How many candidates there are; None where it is not known.

    Raises:
        ValueError: One is below 1 or more than there are candidates, or there is none.
    """
    if not sizes or min(sizes) < 1:
        raise ValueError(f"n: got {tuple(sizes)}, expected numbers from 1")
    if most is not None and max(sizes) > most:
        raise ValueError(f"n: got {max(sizes)}, but no prompt has more than {most} candidates")
    return tuple(sorted(set(sizes)))


def reward_table(scored: Sequence[Scored], prompts: int) -> Rewards:
    """The rewards by prompt and number, of candidates listed number by number."""
    values = [np.nan if each.reward is None else each.reward for each in scored]
    return np.array(values, np.float64).reshape(-1, prompts).T


def select(rewards: Rewards, sizes: Sequence[int]) -> Selection:
    """Selects the highest reward among the first N candidates of each prompt; of equal ones the first.

    Args:
        rewards: NaN where a candidate has none.
        sizes: Values of N, from 1 to the number of candidates.

    Raises:
        ValueError: A size is not usable.
    """
    sizes = check_sizes(sizes, rewards.shape[1])
    known = np.where(np.isnan(rewards), -np.inf, rewards)
    first_best = np.stack([known[:, :size].argmax(axis=1) for size in sizes], axis=1)
    best = np.take_along_axis(rewards, first_best, axis=1)
    return Selection(sizes, np.where(np.isnan(best), NONE, first_best), best)
