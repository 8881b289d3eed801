"""Scoring as upstream's `Scorer.score` does it: one file and prompt at a time, in one process.

For each encoder the file is decoded and every channel resampled, straight to the encoder's rate; the prompt is padded
to `MAX_TOKENS` and masked, as LAION-CLAP does; nothing is kept for the next call. The networks are ours, so that what
differs is the way to them. Clips are at most 10 s: of longer ones upstream's CLAP would draw a window at random.

Source: `tunejury/score.py` of github.com/yonghyunk1m/TuneJury, and `hook.py` of laion-clap 1.1.7.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from feature_export.audio import Waveform, load
from feature_export.encoders import Stack
from feature_export.encoders.clap.text import MAX_TOKENS
from feature_export.resample import resample

__all__ = ["UpstreamScorer"]

PAD = 1


@dataclass(frozen=True)
class UpstreamScorer:
    """A head in torch behind CLAP, MERT or both.

    Attributes:
        stack: The encoders.
        head: From joined features (batch, dim) to rewards (batch,).
    """

    stack: Stack
    head: nn.Module

    @torch.no_grad()
    def score(self, path: Path, prompt: str) -> float:
        """The reward of one file."""
        blocks = {
            encoder.block.name: encoder.embed(_heard(path, encoder.sample_rate_hz)) for encoder in self.stack.audio
        }
        blocks |= {encoder.block.name: _read(encoder, prompt) for encoder in self.stack.text}
        features = torch.cat([blocks[name].cpu() for name in self.stack.layout.names])
        return self.head(features[None])[0].item()


def _heard(path: Path, sample_rate_hz: int | None) -> Waveform:
    decoded = load(path)
    rate_hz = sample_rate_hz or decoded.sample_rate_hz
    return Waveform(resample(decoded.samples, decoded.sample_rate_hz, rate_hz), rate_hz)


def _read(encoder: Any, prompt: str) -> Float[Tensor, " dim"]:
    """The embedding of `feature_export.encoders.clap.ClapText`, by way of padding; zeros for no prompt."""
    if not prompt:
        return torch.zeros(encoder.block.dim)
    tokens, model = encoder.tokens.heard(prompt), encoder.network.model
    padding = MAX_TOKENS - len(tokens)
    ids = torch.tensor([[*tokens, *[PAD] * padding]], device=model.device)
    mask = torch.tensor([[1] * len(tokens) + [0] * padding], device=model.device)
    with encoder.network.compute.running():
        found = model.text_projection(model.text_model(ids, attention_mask=mask).pooler_output)[0]
    return F.normalize(found.float(), dim=0)
