"""Rewards of waveforms with gradients to every sample: what a generator is steered by.

The signal path is the Scorer's: the same encoders, resampler and crop, so the same clip has the same score.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint as recomputed

from tunejury_jax.bridge.autograd import checkpoint_reward
from tunejury_jax.checkpoint import Checkpoint

__all__ = ["DifferentiableScorer", "DifferentiableStack"]

PROMPTS_KEPT = 1024


@runtime_checkable
class DifferentiableStack(Protocol):
    """What is needed of the encoders; `feature_export.encoders.Stack` is one."""

    def provenance(self) -> Mapping[str, Mapping[str, Any]]:
        """Block name -> everything that makes its numbers."""
        ...

    def embed_samples(
        self, samples: Float[Tensor, "channels samples"], sample_rate_hz: int
    ) -> Mapping[str, Float[Tensor, " _"]]:
        """Block name -> embedding of one clip; differentiable in the samples."""
        ...

    def embed_prompt(self, text: str) -> Mapping[str, Float[np.ndarray, " _"]]:
        """Block name -> embedding of a prompt, zeros for none."""
        ...


class DifferentiableScorer:
    """Scores a batch of waveforms; reward = mean - conservative * std over the members of an ensemble."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        stack: DifferentiableStack,
        conservative: float = 0.0,
        *,
        recompute: bool = False,
        max_duration_s: float | None = None,
    ) -> None:
        """Joins a checkpoint with its encoders.

        Args:
            checkpoint: A head or an ensemble.
            stack: Its encoders.
            conservative: Standard deviations over the members of an ensemble to take off its mean, at least 0.
            recompute: Runs the encoders again in the backward pass rather than keep what they computed: memory of one
                clip instead of the batch, for about half as much time again.
            max_duration_s: Longer clips are cut to the middle of this length first, which is then what is scored.

        Raises:
            ValueError: The stack's encoders are others, or an option is not usable.
        """
        if max_duration_s is not None and not max_duration_s > 0:
            raise ValueError(f"max_duration_s: got {max_duration_s}, accepted are positive numbers")
        checkpoint.require_encoders(stack.provenance(), "encoder stack")
        self.layout, self.max_duration_s = checkpoint.layout, max_duration_s
        self._stack, self._recompute = stack, recompute
        self._reward = checkpoint_reward(checkpoint, conservative)
        self._embed_prompt = lru_cache(PROMPTS_KEPT)(self._prompt)

    def __call__(
        self, samples: Float[Tensor, "batch samples"], sample_rate_hz: int, prompts: str | Sequence[str] = ""
    ) -> Float[Tensor, " batch"]:
        """Rewards, differentiable in the samples.

        Args:
            samples: Mono waveforms, nominally in [-1, 1], float32 or float64.
            sample_rate_hz: Their sampling rate in Hz.
            prompts: What the clips were made for: one for all, or one each; empty for none.

        Raises:
            ValueError: Another shape, type, rate or number of prompts, or features that are not finite.
        """
        _check(samples, sample_rate_hz)
        texts = [prompts] * len(samples) if isinstance(prompts, str) else list(prompts)
        if len(texts) != len(samples):
            raise ValueError(f"prompts: got {len(texts)} for {len(samples)} clips, expected one for all or one each")
        rows = [self._row(clip, sample_rate_hz, text) for clip, text in zip(samples, texts, strict=True)]
        x = torch.stack(rows) if rows else samples.new_zeros(0, self.layout.dim)
        if not x.isfinite().all():
            number = int((~x.isfinite()).any(1).nonzero()[0])
            raise ValueError(f"samples: the features of clip {number} are not finite")
        return self._reward(x)

    def _row(self, clip: Float[Tensor, " samples"], sample_rate_hz: int, text: str) -> Float[Tensor, " dim"]:
        features = {**self._embed_samples(self._cut(clip, sample_rate_hz)[None], sample_rate_hz)}
        features |= self._embed_prompt(text)
        for block in self.layout.blocks:
            if features[block.name].shape != (block.dim,):
                raise ValueError(f"{block.name}: expected {block.dim} values, got {tuple(features[block.name].shape)}")
        return torch.cat([features[name].to(clip) for name in self.layout.names])

    def _cut(self, clip: Float[Tensor, " samples"], sample_rate_hz: int) -> Float[Tensor, " shorter"]:
        if self.max_duration_s is None:
            return clip
        length = max(1, round(self.max_duration_s * sample_rate_hz))
        start = max(0, len(clip) - length) // 2
        return clip[start : start + length]

    def _embed_samples(
        self, samples: Float[Tensor, "channels samples"], sample_rate_hz: int
    ) -> Mapping[str, Float[Tensor, " _"]]:
        if not self._recompute:
            return self._stack.embed_samples(samples, sample_rate_hz)
        # The encoders draw no random numbers, so there is no generator's state to bring back.
        embed = self._stack.embed_samples
        return recomputed(embed, samples, sample_rate_hz, use_reentrant=False, preserve_rng_state=False)

    def _prompt(self, text: str) -> dict[str, Float[Tensor, " _"]]:
        return {name: torch.from_numpy(values) for name, values in self._stack.embed_prompt(text).items()}


def _check(samples: Tensor, sample_rate_hz: int) -> None:
    if samples.ndim != 2 or not samples.shape[1]:
        raise ValueError(f"samples: got shape {tuple(samples.shape)}, expected (batch, samples) with samples")
    if samples.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"samples: got {samples.dtype}, expected torch.float32 or torch.float64")
    if type(sample_rate_hz) is not int or sample_rate_hz < 1:
        raise ValueError(f"sample_rate_hz: expected a positive sampling rate in whole Hz, got {sample_rate_hz!r}")
