"""What a reader of a score should know of the clip and the prompt that it is of."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from tunejury_jax.blocks import FACTS, Layout

__all__ = ["FLAGS", "clip_flags", "is_cropped", "prompt_flags"]

FLAGS = {
    "short": "less than 5 s: the encoders hear it repeated or filled up",
    "cropped": "longer than the 10 s that CLAP hears of it",
    "silent": "the mean level is below -60 dB of full scale",
    "clipped": "a sample reaches full scale",
    "prompt_cut": "the end of the prompt is beyond an encoder's limit",
    "no_prompt": "scored without a prompt",
}

SHORT_S = 5.0
"""Half of what CLAP and MuQ-MuLan hear at once: below it they hear at least twice what there is."""

CLAP_WINDOW_S = 10.0

SILENT_DBFS = -60.0
"""Quiet music has a mean level of -40 dB; at -60 dB, 16-bit samples have six bits left above their noise."""

CLIPPED_PEAK = 32767 / 32768
"""The largest sample of 16 bits."""


def clip_flags(signal: Float[np.ndarray, " facts"], cropped: bool) -> tuple[str, ...]:
    """Flags of a clip.

    Args:
        signal: `FACTS` of the decoded file.
        cropped: Whether a longer clip is cut to the window of CLAP (`is_cropped`).
    """
    facts = dict(zip(FACTS, signal.tolist(), strict=True))
    found = {
        "short": facts["duration_s"] < SHORT_S,
        "cropped": cropped and facts["duration_s"] > CLAP_WINDOW_S,
        "silent": facts["rms_dbfs"] < SILENT_DBFS,
        "clipped": facts["peak"] >= CLIPPED_PEAK,
    }
    return tuple(name for name, holds in found.items() if holds)


def prompt_flags(prompt: str, cut_tokens: int, layout: Layout) -> tuple[str, ...]:
    """Flags of a prompt; none where the head reads no prompt."""
    found = {"prompt_cut": cut_tokens > 0, "no_prompt": not prompt.strip()}
    return tuple(name for name, holds in found.items() if holds and layout.of_table("prompt"))


def is_cropped(encoders: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether encoders of this provenance, by block, hear one window of a longer clip and not all of it."""
    path = encoders.get("clap_audio", {}).get("signal_path", {})
    return "clap_audio" in encoders and path.get("crop") != "windows"
