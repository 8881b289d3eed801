r"""Over-optimisation: one head, the proxy, selects the best of n candidates; another one, the judge, says what it is.

The best of n of M candidates, drawn without replacement, is the candidate of rank r (1 is the lowest) with probability

    C(r - 1, n - 1) / C(M, n)

so that the expected reward of either head is a weighted sum over all M candidates in the proxy's order, without drawing
any. It moves the generator by KL = log n - (n - 1) / n nats (Stiennon et al. 2020; an upper bound). Gao et
al., Scaling Laws for Reward Model Overoptimization (2023), find the judge's reward to follow d (alpha - beta d), where
d is the square root of KL.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from tunejury_jax.applications.best_of_n.selection import Rewards
from tunejury_jax.evaluation.estimates import Estimate, estimate_mean

__all__ = ["Fit", "OverOptimisation", "best_of_n_kl", "expected_best", "fit_gao", "over_optimisation"]

Sizes = Float64[np.ndarray, " sizes"]
Usable = Bool[np.ndarray, "prompts candidates"]


@dataclass(frozen=True)
class Fit:
    """d (alpha - beta d), fitted to a reward; it is highest at d = alpha / (2 beta) where both are positive."""

    alpha: float
    beta: float

    def at(self, kl: Sizes) -> Sizes:
        """The reward at these divergences, in nats."""
        return np.sqrt(kl) * (self.alpha - self.beta * np.sqrt(kl))


@dataclass(frozen=True)
class OverOptimisation:
    """What the two heads say of the best of n by the proxy, for n = 1, 2, ...

    Rewards are what is gained over n = 1, in standard deviations of all candidates: so they compare between heads.

    Attributes:
        proxy: Mean over prompts for each n; bootstrap over prompts, whose gains are paired.
        judge: Likewise.
        kl: In nats.
        peak: The n at which the judge's reward is highest.
        fits: By head, `proxy` and `judge`; none where n goes to 2 only.
        left_out: Prompts with fewer candidates that both heads scored than the largest n.
    """

    proxy: list[Estimate]
    judge: list[Estimate]
    kl: Sizes
    peak: int
    fits: dict[str, Fit]
    left_out: int

    def to_json(self) -> dict[str, Any]:
        rows = enumerate(zip(self.kl.tolist(), self.proxy, self.judge, strict=True), 1)
        return {
            "unit": "gain over n = 1, in standard deviations of all candidates",
            "rows": [
                {"n": n, "kl": kl, "proxy": proxy.to_json(), "judge": judge.to_json()} for n, (kl, proxy, judge) in rows
            ],
            "fits": {head: {"alpha": fit.alpha, "beta": fit.beta} for head, fit in self.fits.items()},
            "judge_highest_at_n": self.peak,
            "prompts_left_out": self.left_out,
        }


def over_optimisation(proxy: Rewards, judge: Rewards, most: int) -> OverOptimisation:
    """Follows both rewards from n = 1 to `most`.

    Args:
        proxy: By prompt and candidate, NaN where there is none; selects.
        judge: Likewise, of the same candidates; only looks on.
        most: The largest n.

    Raises:
        ValueError: No prompt has so many candidates that both heads scored, or a head gives all the same reward.
    """
    usable = ~(np.isnan(proxy) | np.isnan(judge))
    kept = usable.sum(axis=1) >= most
    if not kept.any():
        raise ValueError(f"judge: no prompt has {most} candidates that both heads could score")
    known, order = usable[kept], proxy[kept]
    heads = {"proxy": _in_deviations("proxy", order, known), "judge": _in_deviations("judge", judge[kept], known)}
    by_prompt = {name: _gains(rewards, order, known, most) for name, rewards in heads.items()}
    means = {name: [estimate_mean(of_size) for of_size in values.T] for name, values in by_prompt.items()}
    kl = best_of_n_kl(np.arange(1.0, most + 1))
    fits = {name: fit_gao(kl, values.mean(axis=0)) for name, values in by_prompt.items()} if most > 2 else {}
    peak = 1 + int(by_prompt["judge"].mean(axis=0).argmax())
    return OverOptimisation(means["proxy"], means["judge"], kl, peak, fits, int((~kept).sum()))


def expected_best(
    rewards: Float64[np.ndarray, " candidates"], order: Float64[np.ndarray, " candidates"], most: int
) -> Sizes:
    r"""The expected reward of the best of n candidates drawn without replacement, for n = 1 to `most`.

        sum_r C(r - 1, n - 1) / C(M, n) reward_(r)

    Args:
        rewards: What is expected.
        order: What the best is judged by; of equal ones the first is the best.
        most: At most the number M of candidates.
    """
    best_first = np.lexsort((np.arange(len(order)), -order))
    return _chances(len(order), most) @ rewards[best_first]


def best_of_n_kl(n: Sizes) -> Sizes:
    """KL of the best of n from the generator, log n - (n - 1) / n, in nats."""
    return np.log(n) - (n - 1) / n


def fit_gao(kl: Sizes, reward: Sizes) -> Fit:
    """Least squares of d (alpha - beta d), d = sqrt(KL); needs two divergences above 0."""
    d = np.sqrt(kl)
    (alpha, curvature), *_ = np.linalg.lstsq(np.stack([d, d**2], axis=1), reward, rcond=None)
    return Fit(float(alpha), -float(curvature))


@cache
def _chances(count: int, most: int) -> Float64[np.ndarray, "sizes candidates"]:
    """Of each candidate, the highest first, to be the best of n: n / M for the highest, and from rank r to rank r - 1
    times (r - n) / (r - 1). Quotients of binomials, which would overflow, are not needed."""
    n, rank = np.arange(1, most + 1)[:, None], np.arange(count, 1, -1)
    falling = np.maximum(rank - n, 0) / (rank - 1)
    return n / count * np.cumprod(np.concatenate([np.ones((most, 1)), falling], axis=1), axis=1)


def _in_deviations(name: str, rewards: Rewards, usable: Usable) -> Rewards:
    """Every prompt weighs the same, as it does in the means."""
    weights = usable / usable.sum(axis=1, keepdims=True) / len(usable)
    values = np.where(usable, rewards, 0.0)
    mean = (weights * values).sum()
    if np.ptp(rewards[usable]) == 0:
        raise ValueError(f"{name}: gives all candidates the reward {mean:g}, so that they have no standard deviation")
    return rewards / np.sqrt((weights * np.square(values - mean)).sum())


def _gains(rewards: Rewards, order: Rewards, usable: Usable, most: int) -> Float64[np.ndarray, "prompts sizes"]:
    """For each prompt `expected_best` of the candidates that it has, less that of one of them."""
    rows = zip(rewards, order, usable, strict=True)
    expected = np.stack([expected_best(values[known], by[known], most) for values, by, known in rows])
    return expected - expected[:, :1]
