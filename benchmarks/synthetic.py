"""Data of the paper's size and noise: about 22K pairs over 13K clips, a teacher with label noise, 5 % ties.

Clips have unit-norm `clap_audio`, unscaled `mert`; a fifth of the pairs have no prompt. The teacher is linear in the
audio plus a little of its product with the prompt; a logistic listener makes about 0.74 of the decisive answers agree
with it, so that about 0.72 can be reached.
"""

from typing import NamedTuple

import jax
import numpy as np
from scipy.special import expit

from trainers.data import Arrays
from trainers.view import Pairs

__all__ = ["PaperSize", "paper_size"]

CLIPS, PROMPTS = 12_677, 4_000
COUNTS = {"train": 17_554, "valid": 2_111, "test": 2_135}
TIES, NO_PROMPT, LISTENER_SCALE = 0.05, 0.2, 1.6


class PaperSize(NamedTuple):
    """Arrays on the device and the rows of each split."""

    arrays: Arrays
    pairs: Pairs
    test: np.ndarray
    teacher_agreement: float


def paper_size(seed: int = 0) -> PaperSize:
    """Makes the data; the same seed makes the same."""
    rng = np.random.default_rng(seed)
    clap = _unit(rng.standard_normal((CLIPS, 512)))
    clip = np.concatenate([clap, 0.3 * rng.standard_normal((CLIPS, 1024))], axis=1)
    prompt = np.concatenate([_unit(rng.standard_normal((PROMPTS, 512))), np.zeros((1, 512))])
    count = sum(COUNTS.values())
    index = np.stack([*rng.integers(0, CLIPS, (2, count)), rng.integers(0, PROMPTS, count)], axis=1)
    index[rng.random(count) < NO_PROMPT, 2] = PROMPTS
    logit = LISTENER_SCALE * _teacher(clip, prompt, index, rng)
    target = (rng.random(count) < expit(logit)).astype(np.float32)
    agreement = float(((logit > 0) == (target > 0.5)).mean())
    target[rng.random(count) < TIES] = 0.5
    blocks = np.split(clip.astype(np.float32), [512], axis=1)
    arrays = (tuple(blocks), (prompt.astype(np.float32),), index.astype(np.int32), target)
    train, valid, test = np.split(rng.permutation(count), np.cumsum(list(COUNTS.values()))[:-1])
    pairs = Pairs(*(jax.device_put(np.sort(rows)) for rows in (train, valid)))
    return PaperSize(Arrays(*(jax.device_put(part) for part in arrays)), pairs, test, agreement)


def _teacher(clip: np.ndarray, prompt: np.ndarray, index: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Difference of the teacher's scores of side a and side b, of unit variance."""
    linear = clip @ rng.standard_normal(clip.shape[1])
    mixing = rng.standard_normal((512, 512)) / 16
    mixed = clip[:, :512] @ mixing
    match = [(mixed[index[:, side]] * prompt[index[:, 2]]).sum(axis=1) for side in (0, 1)]
    difference = linear[index[:, 0]] - linear[index[:, 1]] + 3.0 * (match[0] - match[1])
    return difference / difference.std()


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
