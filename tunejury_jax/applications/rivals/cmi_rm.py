"""CMI-RM (CMI-RewardBench): the benchmark's own reward model, which reads prompts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunejury_jax.applications.rivals.clone import file_of, import_from
from tunejury_jax.applications.rivals.protocol import Clip

__all__ = ["CmiRm", "load"]

HEARD_S = 120.0
MUSICALITY = 1


class CmiRm:
    """Musicality under the clip's prompt, of at most the first two minutes."""

    name = "cmi-rm"
    sample_rate_hz = 24_000
    reads_prompts = True

    def __init__(self, model: Any) -> None:
        self._model = model

    def score_batch(self, clips: Sequence[Clip], prompts: Sequence[str]) -> list[float]:
        asked = [{"audio": clip, "text": prompt} for clip, prompt in zip(clips, prompts, strict=True)]
        scores = self._model.score_batch(inputs=asked, batch_size=1, max_dur=HEARD_S, show_progress=False)
        return [float(row[MUSICALITY]) for row in scores]


def load(source: Path | None, device: str) -> CmiRm:
    """Loads the scorer from a clone of the repository, with the weights' config.yaml and model.safetensors in weights/.

    Raises:
        ValueError: The clone is not named, lacks a file, or needs a package that is not installed.
    """
    if source is None:
        raise ValueError(
            "cmi-rm: name a clone of github.com/Haiwen-Xia/CMI-RewardBench, with config.yaml and model.safetensors of "
            "CMI-RM in its folder weights: cmi-rm=FOLDER"
        )
    weights, config = (file_of(source, f"weights/{name}") for name in ("model.safetensors", "config.yaml"))
    inference = import_from(source, "baselines.inference").RewardModelInference
    return CmiRm(inference(str(weights), config=str(config), device=device))
