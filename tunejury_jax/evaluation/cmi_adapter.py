"""A checkpoint as a model of CMI-RewardBench's own runner: `--model_class_path`
`tunejury_jax.evaluation.cmi_adapter:CMIAdapter`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.errors import one_of
from tunejury_jax.evaluation.cmi_run import PROTOCOLS, Protocol, two_scores
from tunejury_jax.evaluation.prompted import PromptedScorer
from tunejury_jax.extras import import_extra
from tunejury_jax.scorer import EncoderStack, Scorer

__all__ = ["CMIAdapter"]


class CMIAdapter:
    """Scores the runner's inputs; the signal path of the checkpoint says how much of a clip is heard."""

    def __init__(
        self,
        checkpoint: str | Path,
        device: str = "cpu",
        sr: int = 48_000,
        prompt_protocol: Protocol = "with",
        stack: EncoderStack | None = None,
    ) -> None:
        """Loads a checkpoint folder and its encoders.

        Args:
            checkpoint: Folder.
            device: Where the encoders run, `cpu`, `cuda` or `cuda:1`.
            sr: Sampling rate in Hz of inputs that are samples; files tell their own.
            prompt_protocol: Whether musicality is judged `with` the prompt or under an `empty` one.
            stack: Instead of the encoders that the checkpoint names.

        Raises:
            ValueError: As `Checkpoint.load`, or a setting is unknown.
        """
        self._protocol: Protocol = one_of("prompt_protocol", prompt_protocol, PROTOCOLS)
        loaded = Checkpoint.load(Path(checkpoint))
        if stack is None:
            registry = import_extra("feature_export.encoders", "the benchmark")
            stack = registry.stack_from_provenance(loaded.encoders, device)
        self._score, self._sr = PromptedScorer(Scorer(loaded, stack)), sr

    @property
    def sr(self) -> int:
        """Sampling rate in Hz of inputs that are samples."""
        return self._sr

    def score_batch(
        self, inputs: Sequence[Any], batch_size: int = 1, max_dur: float | None = None, **options: Any
    ) -> Float[np.ndarray, "inputs 2"]:
        """Alignment (column 0) and musicality (column 1) of each input.

        Args:
            inputs: Objects with `audio` (a file, or samples at `sr`) and `text`; lyrics and reference audio are not
                heard.
            batch_size: Of no effect: clips of different lengths are embedded one by one.
            max_dur: Of no effect: see the class.
            options: None are known.

        Raises:
            ValueError: An option, or audio that cannot be used.
        """
        if options:
            raise ValueError(f"score_batch: got {sorted(options)}, accepted are no further options")
        return np.array([self._scores(clip) for clip in inputs], np.float64).reshape(-1, 2)

    def _scores(self, clip: Any) -> tuple[float, float]:
        audio, rate = clip.audio, None
        if not isinstance(audio, str | Path):
            audio, rate = np.asarray(audio, np.float32), self._sr
        score = partial(self._score, audio, sample_rate_hz=rate)
        return two_scores(score, clip.text or "", self._protocol)
