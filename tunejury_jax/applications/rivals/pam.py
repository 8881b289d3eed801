"""PAM (Deshmukh et al., arXiv 2402.00282): how much likelier CLAP finds clean sound than noise and artefacts."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from tunejury_jax.applications.rivals.clone import file_of, import_from
from tunejury_jax.applications.rivals.protocol import Clip

__all__ = ["Pam", "load", "segments"]

SEGMENT_S = 7


class Pam:
    """The mean over segments of 7 s; prompts are not read."""

    name = "pam"
    sample_rate_hz = 44_100
    reads_prompts = False

    def __init__(self, pam: Any) -> None:
        self._pam = pam

    def score_batch(self, clips: Sequence[Clip], prompts: Sequence[str]) -> list[float]:
        cut = [segments(clip, SEGMENT_S * self.sample_rate_hz) for clip in clips]
        ends = [0, *torch.tensor([len(each) for each in cut]).cumsum(0).tolist()]
        means, _ = self._pam.evaluate(torch.cat(cut), ends)
        return [float(mean) for mean in means]


def segments(clip: Clip, length: int) -> Float32[Tensor, "segments length"]:
    """Cuts a clip as published: one that is shorter is repeated, and the last segment of a longer one ends with it.

    Args:
        clip: At least one sample.
        length: Of a segment, in samples.
    """
    if len(clip) <= length:
        return clip.repeat(math.ceil(length / len(clip)))[None, :length]
    whole = len(clip) // length
    rest = [clip[-length:][None]] if len(clip) % length else []
    return torch.cat([clip[: whole * length].reshape(whole, length), *rest])


def load(source: Path | None, device: str) -> Pam:
    """Loads the scorer from a clone of the repository; weights in CLAP_weights_2023.pth there, or fetched by its code.

    Raises:
        ValueError: The clone is not named, or needs a package that is not installed.
    """
    if source is None:
        raise ValueError("pam: name a clone of github.com/soham97/PAM: pam=FOLDER")
    weights = source / "CLAP_weights_2023.pth"
    file_of(source, "PAM/PAM.py")
    made = import_from(source, "PAM").PAM
    return Pam(made(model_fp=str(weights) if weights.is_file() else None, use_cuda=device != "cpu"))
