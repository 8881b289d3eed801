"""MuQ-Eval A1 (Zhu and Li, arXiv 2603.22677): a regressor of musical impression on frozen MuQ."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from feature_export.encoders.state_file import load_strictly, read_state
from tunejury_jax.applications.rivals.clone import file_of, import_from
from tunejury_jax.applications.rivals.protocol import Clip

__all__ = ["MuqEval", "load"]

HEARD_S = 10


class MuqEval:
    """Musical impression (MI) of the first 10 s, as published; prompts are not read."""

    name = "muq-eval-a1"
    sample_rate_hz = 24_000
    reads_prompts = False

    def __init__(self, model: Any, device: str) -> None:
        self._model, self._device = model, device

    @torch.no_grad()
    def score_batch(self, clips: Sequence[Clip], prompts: Sequence[str]) -> list[float]:
        return [self._score(clip[: HEARD_S * self.sample_rate_hz]) for clip in clips]

    def _score(self, clip: Clip) -> float:
        return float(self._model(clip[None].to(self._device))["MI"])


def load(source: Path | None, device: str) -> MuqEval:
    """Loads the scorer from a clone of the repository, with the weights' config.yaml and model_state_dict.pt in A1/.

    Raises:
        ValueError: The clone is not named, lacks a file, needs a package that is not installed, or the weights do not
            fit.
    """
    if source is None:
        raise ValueError(
            "muq-eval-a1: name a clone of github.com/dgtql/MuQ-Eval, with config.yaml and model_state_dict.pt of "
            "zhudi2825/MuQ-Eval-A1 in its folder A1: muq-eval-a1=FOLDER"
        )
    base, own = (file_of(source, name) for name in ("configs/base.yaml", "A1/config.yaml"))
    weights = read_state(file_of(source, "A1/model_state_dict.pt"))
    model = import_from(source, "src.model").MusicQualityModel(_config(base, own))
    load_strictly(model, weights, "MuQ-Eval A1")
    return MuqEval(model.to(device).eval(), device)


def _config(base: Path, own: Path) -> Any:
    try:
        from omegaconf import OmegaConf  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ValueError(f"muq-eval-a1: {error.name} is missing: pip install omegaconf") from error
    settings = OmegaConf.load(own)
    settings.pop("defaults", None)  # names the base, which is merged here
    return OmegaConf.merge(OmegaConf.load(base), settings)
