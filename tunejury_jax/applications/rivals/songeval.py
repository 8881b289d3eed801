"""SongEval-RM (ASLP-lab/SongEval, arXiv 2505.10793): five axes of song aesthetics on MuQ's sixth layer."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from tunejury_jax.applications.rivals.clone import file_of, import_from
from tunejury_jax.applications.rivals.protocol import Clip

__all__ = ["SongEval", "load"]

LAYER = 6


class SongEval:
    """The mean of the five axes, as SongEval pairs are labelled; prompts are not read."""

    name = "songeval-rm"
    sample_rate_hz = 24_000
    reads_prompts = False

    def __init__(self, model: Any, muq: Any, device: str) -> None:
        self._model, self._muq, self._device = model, muq, device

    @torch.no_grad()
    def score_batch(self, clips: Sequence[Clip], prompts: Sequence[str]) -> list[float]:
        # One by one, as published: padding would be heard.
        return [self._score(clip) for clip in clips]

    def _score(self, clip: Clip) -> float:
        heard = self._muq(clip[None].to(self._device), output_hidden_states=True)["hidden_states"][LAYER]
        return float(self._model(heard).mean())


def load(source: Path | None, device: str) -> SongEval:
    """Loads the scorer from a clone of the repository, whose weights are in ckpt/model.safetensors.

    Raises:
        ValueError: The clone is not named, lacks a file, or needs a package that is not installed.
    """
    if source is None:
        raise ValueError("songeval-rm: name a clone of github.com/ASLP-lab/SongEval: songeval-rm=FOLDER")
    weights = file_of(source, "ckpt/model.safetensors")
    synthesizer = import_from(source, "eval").Synthesizer
    with TemporaryDirectory() as folder:
        loaded = synthesizer(str(weights), "", folder, use_cpu=device == "cpu")
        loaded.setup()
    return SongEval(loaded.model, loaded.muq, str(loaded.device))
