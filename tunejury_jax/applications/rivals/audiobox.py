"""Audiobox-Aesthetics (Tjandra et al., arXiv 2502.05139): four axes, of which content enjoyment is the usual rival."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunejury_jax.applications.rivals.protocol import Clip

__all__ = ["Audiobox", "load"]


class Audiobox:
    """One axis of the package's predictor; clips are heard in windows of 10 s, prompts are not read."""

    sample_rate_hz = 16_000
    reads_prompts = False

    def __init__(self, predictor: Any, axis: str) -> None:
        self.name, self._predictor, self._axis = f"audiobox-{axis.lower()}", predictor, axis

    def score_batch(self, clips: Sequence[Clip], prompts: Sequence[str]) -> list[float]:
        asked = [{"path": clip[None], "sample_rate": self.sample_rate_hz} for clip in clips]
        return [float(row[self._axis]) for row in self._predictor.forward(asked)]


def load(source: Path | None, device: str, axis: str) -> Audiobox:
    """Loads the predictor of the installed package.

    Args:
        source: Its checkpoint.pt; None lets the package fetch it.
        device: Of no effect: the package takes the GPU where there is one.
        axis: CE, CU, PC or PQ.

    Raises:
        ValueError: The package is not installed.
    """
    try:
        from audiobox_aesthetics.infer import initialize_predictor  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ValueError(f"audiobox: {error.name} is missing: pip install audiobox-aesthetics") from error
    return Audiobox(initialize_predictor(str(source) if source else None), axis)
