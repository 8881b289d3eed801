"""Scores of one clip under several prompts: its audio is embedded once, the prompts alone change."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from tunejury_jax.scorer import Scorer

__all__ = ["PromptedScorer"]

Audio = Path | str | Num[np.ndarray, "*channels samples"]


class PromptedScorer:
    """Scores clips; calls for the clip of the last call reuse what was heard of it."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self._last: tuple[Any, str, Mapping[str, Float[np.ndarray, " _"]]] | None = None

    def __call__(self, audio: Audio, prompt: str, sample_rate_hz: int | None = None) -> float:
        """The reward of a clip.

        Args:
            audio: A file, or samples as `Scorer.predict` takes them.
            prompt: What the clip was made for; empty for none.
            sample_rate_hz: Needed for samples, refused for a file.

        Raises:
            ValueError: As `Scorer.predict`.
        """
        layout = self.scorer.checkpoint.layout
        rows = {name: value[None] for name, value in self._embedded(audio, prompt, sample_rate_hz).items()}
        return float(self.scorer.score_features(layout.join(rows))[0])

    def _embedded(self, audio: Audio, prompt: str, sample_rate_hz: int | None) -> Mapping[str, Float[np.ndarray, " _"]]:
        last = self._last
        if last is not None and last[0] is audio and not prompt.strip():
            return {**last[2], **self._no_prompt()}
        if last is None or last[0] is not audio or last[1] != prompt:
            self._last = last = (audio, prompt, self.scorer.stack.embed(audio, sample_rate_hz, prompt))
        return last[2]

    def _no_prompt(self) -> dict[str, Float[np.ndarray, " _"]]:
        """An empty prompt is zeros in every block of the prompt, by definition of the features."""
        blocks = self.scorer.checkpoint.layout.of_table("prompt")
        return {block.name: np.zeros(block.dim, np.float32) for block in blocks}
