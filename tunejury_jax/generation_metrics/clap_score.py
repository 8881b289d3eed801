"""How well clips fit their captions, by an encoder that has one space for both."""

import numpy as np
from jaxtyping import Float

from tunejury_jax.evaluation.estimates import Estimate, estimate_mean
from tunejury_jax.generation_metrics.checks import checked, directions

__all__ = ["clap_score"]


def clap_score(audio: Float[np.ndarray, "..."], text: Float[np.ndarray, "..."]) -> Estimate:
    """The mean cosine between clips and their captions, and the bootstrap interval of this mean over clips.

        mean of <a_i, t_i> / (|a_i| |t_i|)

    Args:
        audio: Embeddings of the clips, (clips, dim): CLAP's.
        text: Of the caption of each clip, without the words that a generator's prompts were prefixed with.

    Raises:
        ValueError: Fewer than two clips, different shapes, a number is not finite, or a row is zero, as that of an
            empty caption is.
    """
    clips, captions = checked("audio", audio), checked("text", text)
    if clips.shape != captions.shape:
        raise ValueError(f"audio, text: expected one shape, got {clips.shape} and {captions.shape}")
    return estimate_mean((directions("audio", clips) * directions("text", captions)).sum(axis=1))
