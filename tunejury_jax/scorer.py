"""Scoring audio: through an encoder stack to features, and from those to rewards.

The scorer is JAX and NumPy. Turning audio into features needs the PyTorch stage, so the stack is handed in, or
loaded on the first audio that is scored; features can be scored with no torch installed.
"""

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from tunejury_jax.blocks import SIGNAL
from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.comparison import Comparison, compare
from tunejury_jax.extras import import_extra
from tunejury_jax.feature_scorer import FeatureScorer
from tunejury_jax.flags import clip_flags, is_cropped, prompt_flags
from tunejury_jax.hub import resolve
from tunejury_jax.percentiles import Percentiles
from tunejury_jax.prediction import ClipPrediction, Ranked, WindowPrediction

__all__ = ["EncoderStack", "Scorer", "accepted_audio"]

PURPOSE = "scoring audio"

Audio = Any
"""A file, or samples in [-1, 1] as a NumPy array or a torch tensor, (samples,) or (channels, samples)."""

Blocks = Mapping[str, Float[np.ndarray, " _"]]


@runtime_checkable
class EncoderStack(Protocol):
    """What the scorer needs of the encoders."""

    def provenance(self) -> Mapping[str, Mapping[str, Any]]:
        """Block name -> everything that makes its numbers."""
        ...

    def embed(self, audio: Any, sample_rate_hz: int | None, prompt: str) -> Blocks:
        """Block name -> embedding of one clip and its prompt."""
        ...


@runtime_checkable
class PromptReader(Protocol):
    """A stack that says how much of a prompt it reads."""

    def cut_tokens(self, text: str) -> Mapping[str, int]:
        """Block name -> tokens at the end of a prompt that are not heard."""
        ...


class Scorer(FeatureScorer):
    """Scores clips with a checkpoint; the same file always gets the same score, up to the rounding of float32 sums.

    reward = mean - conservative * std, over the members of an ensemble

    A reward has no unit and no zero, so negative is normal: rewards of one checkpoint compare with each other.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        stack: EncoderStack | None = None,
        conservative: float = 0.0,
        device: str | None = None,
    ) -> None:
        """Prepares a checkpoint for scoring.

        Args:
            checkpoint: A head or an ensemble.
            stack: Its encoders; without them they are made on the first audio that is scored.
            conservative: Standard deviations over the members of an ensemble to take off its mean, at least 0.
            device: Where encoders that are made here run: cpu, cuda or cuda:1; by default a GPU if there is one.

        Raises:
            ValueError: The stack's encoders are others, or `conservative` is not usable with this checkpoint.
        """
        super().__init__(checkpoint, conservative)
        self.device = device
        self.anchors: Anchors | None = None
        self.percentiles: Percentiles | None = None
        if stack is not None:
            self.stack = self._checked(stack)

    @classmethod
    def from_checkpoint(
        cls,
        folder: Path | str,
        stack: EncoderStack | None = None,
        conservative: float = 0.0,
        device: str | None = None,
    ) -> "Scorer":
        """Loads a checkpoint folder; the encoders it names are loaded when audio is first scored."""
        return cls(Checkpoint.load(Path(folder)), stack, conservative, device)

    @classmethod
    def from_pretrained(
        cls, name: Path | str, revision: str | None = None, conservative: float = 0.0, device: str | None = None
    ) -> "Scorer":
        """Loads a checkpoint folder, or `owner/name` from the Hugging Face hub; see `tunejury_jax.hub.resolve`."""
        return cls.from_checkpoint(resolve(name, revision), conservative=conservative, device=device)

    @cached_property
    def stack(self) -> EncoderStack:
        """The encoders of the checkpoint."""
        encoders = import_extra("feature_export.encoders", PURPOSE)
        return self._checked(encoders.stack_from_provenance(self.checkpoint.encoders, self.device))

    def with_anchors(self, anchors: Anchors) -> "Scorer":
        """This scorer, whose `compare` corrects for the systems that made the clips."""
        changed = copy.copy(self)
        changed.anchors = anchors
        return changed

    def with_percentiles(self, percentiles: Percentiles) -> "Scorer":
        """This scorer, which also says where a reward stands among released scores.

        Raises:
            ValueError: These are known to be scores of another head.
        """
        percentiles.require_checkpoint(self.checkpoint.sha256)
        changed = copy.copy(self)
        changed.percentiles = percentiles
        return changed

    def score(self, audio: Audio, sample_rate_hz: int | None = None, prompt: str = "") -> float:
        """The reward of one clip; see `predict` for what it takes and refuses."""
        return self.predict(audio, sample_rate_hz, prompt).reward

    def predict(self, audio: Audio, sample_rate_hz: int | None = None, prompt: str = "") -> ClipPrediction:
        """Scores one clip.

        Args:
            audio: A file, or samples in [-1, 1] as (samples,) or (channels, samples), NumPy or torch.
            sample_rate_hz: Needed for samples, refused for a file.
            prompt: What the clip was made for; empty for none.

        Raises:
            ValueError: The audio cannot be read or is not usable; says why.
        """
        audio = import_extra("feature_export.given_audio", PURPOSE).checked(audio, sample_rate_hz)
        cut = self.stack.cut_tokens(prompt).values() if isinstance(self.stack, PromptReader) else ()
        blocks = self.stack.embed(audio, sample_rate_hz, prompt)
        return self.predict_blocks([blocks], [prompt], [max(cut, default=0)])[0]

    def score_many(
        self, audios: Sequence[Audio], sample_rate_hz: int | None = None, prompts: str | Sequence[str] = ""
    ) -> list[float]:
        """The rewards of some clips; see `predict_many`."""
        return [each.reward for each in self.predict_many(audios, sample_rate_hz, prompts)]

    def predict_many(
        self, audios: Sequence[Audio], sample_rate_hz: int | None = None, prompts: str | Sequence[str] = ""
    ) -> list[ClipPrediction]:
        """Scores some clips, whose windows go through the networks together; for very many, see `score_files`.

        Args:
            audios: Files, or samples as for `predict`.
            sample_rate_hz: Of all samples; None where all clips are files.
            prompts: One for all clips, or one a clip.

        Raises:
            ValueError: A clip cannot be used; says which and why.
        """
        prompts = [prompts] * len(audios) if isinstance(prompts, str) else list(prompts)
        if len(prompts) != len(audios):
            raise ValueError(f"prompts: got {len(prompts)} for {len(audios)} clips, expected one for all or one a clip")
        given = import_extra("feature_export.given_audio", PURPOSE)
        return self._predict_clips([given.as_clip(audio, sample_rate_hz) for audio in audios], prompts)

    def score_windows(
        self,
        audio: Audio,
        sample_rate_hz: int | None = None,
        prompt: str = "",
        window_s: float = 10.0,
        hop_s: float = 5.0,
    ) -> list[WindowPrediction]:
        """Scores a clip window by window, each as if it were a clip by itself.

        Args:
            audio: As for `predict`.
            sample_rate_hz: As for `predict`.
            prompt: As for `predict`.
            window_s: Seconds of a window; a shorter clip is one window.
            hop_s: Seconds from one window to the next; the last window ends with the clip.

        Raises:
            ValueError: As `predict`, or a length is less than a sample.
        """
        given = import_extra("feature_export.given_audio", PURPOSE)
        cut = given.windows(audio, sample_rate_hz, window_s, hop_s)
        predictions = self._predict_clips([wave for _, wave in cut], [prompt] * len(cut))
        return [
            WindowPrediction(start_s, start_s + wave.samples.shape[1] / wave.sample_rate_hz, predicted)
            for (start_s, wave), predicted in zip(cut, predictions, strict=True)
        ]

    def rank(self, audios: Sequence[Audio], sample_rate_hz: int | None = None, prompt: str = "") -> list[Ranked]:
        """The clips from the highest reward to the lowest; equal ones in the order given. See `predict_many`."""
        predictions = self.predict_many(audios, sample_rate_hz, prompt)
        return sorted(map(Ranked, range(len(audios)), predictions), key=lambda ranked: -ranked.prediction.reward)

    def compare(
        self,
        a: Audio,
        b: Audio,
        sample_rate_hz: int | None = None,
        prompt: str = "",
        system_a: str | None = None,
        system_b: str | None = None,
    ) -> Comparison:
        """How probable it is that clip a is preferred; see `tunejury_jax.comparison.compare` for the systems."""
        of_a, of_b = self.predict_many([a, b], sample_rate_hz, prompt)
        return compare(of_a, of_b, self.anchors, system_a, system_b)

    def clip_encoder(self, limits: Any = None, cache: Path | None = None) -> Any:
        """The `feature_export.clip_encoder.ClipEncoder` of the stack."""
        return import_extra("feature_export.clip_encoder", PURPOSE).ClipEncoder(self.stack, limits, cache)

    def predict_blocks(
        self, rows: Sequence[Blocks], prompts: Sequence[str], cut_tokens: Sequence[int]
    ) -> list[ClipPrediction]:
        """Scores clips from their features.

        Args:
            rows: By block, features of a clip and its prompt, and the file facts if there are flags to be raised.
            prompts: Of each clip.
            cut_tokens: How many tokens of each prompt were not heard.
        """
        if not rows:
            return []
        layout = self.checkpoint.layout
        columns = {name: np.stack([row[name] for row in rows]) for name in layout.names if name in rows[0]}
        predicted = self.predict_features(layout.join(columns))
        numbers = zip(self._reward(predicted).tolist(), predicted.mean.tolist(), predicted.std.tolist(), strict=True)
        told = zip(numbers, rows, prompts, cut_tokens, strict=True)
        return [self._told(*scores, blocks, prompt, cut) for scores, blocks, prompt, cut in told]

    def _told(
        self, reward: float, mean: float, std: float, blocks: Blocks, prompt: str, cut_tokens: int
    ) -> ClipPrediction:
        percentile = self.percentiles.of(reward) if self.percentiles else None
        heard = clip_flags(blocks[SIGNAL.name], is_cropped(self.checkpoint.encoders)) if SIGNAL.name in blocks else ()
        flags = heard + prompt_flags(prompt, cut_tokens, self.checkpoint.layout)
        return ClipPrediction(reward, mean, std, percentile, flags)

    def _predict_clips(self, clips: Sequence[Any], prompts: Sequence[str]) -> list[ClipPrediction]:
        encoder, found = self.clip_encoder(), []
        for chunk in encoder.clips(clips):
            own = prompts[len(found) : len(found) + len(chunk)]
            read = [encoder.prompt(prompt) for prompt in own]
            errors = [clip.error or text.error for clip, text in zip(chunk, read, strict=True)]
            if bad := [number for number, error in enumerate(errors) if error]:
                raise ValueError(f"audio {len(found) + bad[0]}: {errors[bad[0]]}")
            rows = [{**clip.features, **text.features} for clip, text in zip(chunk, read, strict=True)]
            found += self.predict_blocks(rows, own, [text.cut for text in read])
        return found

    def _checked(self, stack: EncoderStack) -> EncoderStack:
        self.checkpoint.require_encoders(stack.provenance(), "encoder stack")
        return stack


def accepted_audio() -> tuple[str, ...]:
    """Suffixes of the audio files that can be scored."""
    return import_extra("feature_export.decode", PURPOSE).ACCEPTED
