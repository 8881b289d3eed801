"""A stack of encoders: everything between a clip with its prompt and the input of a head."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from feature_export.audio import SignalPath, Waveform, load
from feature_export.decode import MAX_CHANNELS
from feature_export.encoders.protocol import AudioEncoder, Encoder, Provenance, TextEncoder
from feature_export.encoders.signal import SignalFacts
from tunejury_jax.blocks import Layout

__all__ = ["Stack", "require_finite", "waveform"]

_FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}


@dataclass(frozen=True)
class Stack:
    """Frozen encoders that share one signal path; `SignalFacts` always comes along.

    Attributes:
        audio: Encoders of the clip, at least one in all with `text`.
        text: Encoders of the prompt.
        path: The signal path that the audio encoders were made with.
        device: The torch device that the networks run on.
    """

    audio: tuple[AudioEncoder, ...]
    text: tuple[TextEncoder, ...]
    path: SignalPath = field(default_factory=SignalPath)
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, table, encoders in (("audio", "clip", self.audio), ("text", "prompt", self.text)):
            for encoder in encoders:
                if encoder.block.table != table:
                    raise ValueError(f"{name}: expected encoders of the {table} table, got {encoder.block}")
        _ = self.layout  # refuses an empty stack and a block that occurs twice

    @property
    def audio_encoders(self) -> tuple[AudioEncoder, ...]:
        """All that listen to the clip: the file facts first."""
        return (SignalFacts(), *self.audio)

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """All members: the file facts, then audio, then text."""
        return (*self.audio_encoders, *self.text)

    @property
    def layout(self) -> Layout:
        """The blocks of the head's input, without the file facts."""
        return Layout.of(encoder.block for encoder in (*self.audio, *self.text))

    def provenance(self) -> dict[str, Provenance]:
        """By block, the file facts included: what pins every number of this stack."""
        return {encoder.block.name: encoder.provenance() for encoder in self.encoders}

    def embed_audio(self, wave: Waveform) -> dict[str, Float[np.ndarray, " _"]]:
        """Embeds one clip with every audio encoder, by block, the file facts included.

        Raises:
            ValueError: An embedding is not finite: the samples are far beyond full scale.
        """
        with torch.inference_mode():
            features = {encoder.block.name: _array(encoder.embed(wave)) for encoder in self.audio_encoders}
        require_finite(features, float(wave.samples.abs().max()))
        return features

    def embed_samples(
        self, samples: Float[Tensor, "channels samples"], sample_rate_hz: int
    ) -> dict[str, Float[Tensor, " _"]]:
        """Embeds one clip with every audio encoder, by block, without the file facts; differentiable in the samples."""
        wave = Waveform(samples, sample_rate_hz)
        return {encoder.block.name: encoder.embed(wave) for encoder in self.audio}

    def embed_prompt(self, text: str) -> dict[str, Float[np.ndarray, " _"]]:
        """Embeds one prompt with every text encoder, by block; one that is empty or only white space is zeros."""
        if not text.strip():
            return {encoder.block.name: np.zeros(encoder.block.dim, np.float32) for encoder in self.text}
        with torch.inference_mode():
            return {encoder.block.name: _array(encoder.embed(text)) for encoder in self.text}

    def cut_tokens(self, text: str) -> dict[str, int]:
        """By block of the text encoders: how many tokens of a prompt are beyond its limit and not heard."""
        return {encoder.block.name: encoder.cut_tokens(text) for encoder in self.text}

    def embed(
        self, audio: Path | str | Shaped[np.ndarray, "..."], sample_rate_hz: int | None = None, prompt: str = ""
    ) -> dict[str, Float[np.ndarray, " _"]]:
        """Embeds one clip and its prompt with every encoder, by block, the file facts included.

        Args:
            audio: A file, or samples as `waveform` takes them.
            sample_rate_hz: Sampling rate of samples in Hz; None for a file, which tells its own.
            prompt: What the clip answers; empty where there was none.

        Raises:
            ValueError: The audio cannot be used (`AudioError` for a file), or the rate is missing or superfluous.
        """
        if isinstance(audio, np.ndarray):
            wave = waveform(audio, sample_rate_hz)
        elif sample_rate_hz is None:
            wave = load(Path(audio))
        else:
            raise ValueError(f"sample_rate_hz: a file tells its own, expected None, got {sample_rate_hz}")
        return self.embed_audio(wave) | self.embed_prompt(prompt)


def require_finite(features: Mapping[str, Float[np.ndarray, " _"]], peak: float) -> None:
    """Raises a `ValueError` if an embedding of a clip, by block, is not finite; `peak` is its largest sample."""
    for name, values in features.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: the embedding is not finite, the samples reach {peak:g}, full scale is 1")


def waveform(samples: Shaped[np.ndarray, "..."], sample_rate_hz: int | None) -> Waveform:
    """Checks samples from a caller and makes a `Waveform` of a copy.

    Args:
        samples: `(samples,)` or `(channels, samples)`, floating with full scale 1, or int16 or int32.
        sample_rate_hz: Their sampling rate in Hz.

    Raises:
        ValueError: Names what is wrong with the rate, shape, dtype or values.
    """
    if sample_rate_hz is None or sample_rate_hz < 1:
        raise ValueError(f"sample_rate_hz: samples need a positive sampling rate in Hz, got {sample_rate_hz}")
    channels = samples[None] if samples.ndim == 1 else samples
    if channels.ndim != 2 or not channels.size or len(channels) > MAX_CHANNELS:
        accepted = f"(samples,) or (channels, samples) with 1 to {MAX_CHANNELS} channels and at least one sample"
        raise ValueError(f"audio: expected {accepted}, got the shape {samples.shape}")
    values = _scaled(channels)
    bad = values.size - int(np.isfinite(values).sum())
    if bad:
        raise ValueError(f"audio: {bad} of {values.size} samples are not finite as float32")
    return Waveform(torch.from_numpy(values), int(sample_rate_hz))


def _scaled(samples: Shaped[np.ndarray, "channels samples"]) -> Float[np.ndarray, "channels samples"]:
    if samples.dtype in _FULL_SCALE:
        return (samples / _FULL_SCALE[samples.dtype]).astype(np.float32)
    if not np.issubdtype(samples.dtype, np.floating):
        raise ValueError(f"audio: expected a floating dtype, int16 or int32, got {samples.dtype}")
    with np.errstate(over="ignore"):  # what does not fit float32 is counted as not finite
        return samples.astype(np.float32)


def _array(embedding: Float[Tensor, " dim"]) -> Float[np.ndarray, " dim"]:
    return embedding.to("cpu", torch.float32).numpy().copy()
