"""Features of any number of clips and their prompts, for scoring: a bounded number of them at a time, in order.

Clips go through the batches of the export, chunk by chunk. Which windows go together depends on the clips of a chunk
alone, so a run that was killed and goes on at the start of a chunk makes the same bits.
"""

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from itertools import islice, tee
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from feature_export.audio import Waveform
from feature_export.decode import Span
from feature_export.encoders import Encoder, Stack
from feature_export.export import Limits
from feature_export.export.clips import encode_clips
from feature_export.export.rows import Rows
from feature_export.hearing import Hearing
from feature_export.preparation import ClipFile, Prepared, prepare_ahead
from tunejury_jax.embedding_cache import Column, EmbeddingCache, clip_key, prompt_key
from tunejury_jax.store import EncoderSpec

__all__ = ["CHUNK_CLIPS", "Clip", "ClipEncoder", "EncodedClip", "EncodedPrompt"]

CHUNK_CLIPS = 64
"""Enough for several full batches, few enough to lose in a kill."""

PROMPTS_KEPT = 4096

Clip = ClipFile | Waveform
Blocks = dict[str, Float[np.ndarray, " _"]]


class EncodedClip(NamedTuple):
    """Features of a clip by block, the file facts included; or why there are none."""

    features: Blocks
    error: str | None = None


class EncodedPrompt(NamedTuple):
    """Features of a prompt by block, and how many of its tokens the encoders do not hear; or why there are none."""

    features: Blocks
    cut: int = 0
    error: str | None = None


class ClipEncoder:
    """A stack at work on many clips.

    Attributes:
        chunk_clips: How many are encoded and handed on together.
        halved: How many batches did not fit the memory and were halved.
    """

    chunk_clips = CHUNK_CLIPS

    def __init__(self, stack: Stack, limits: Limits | None = None, cache: Path | None = None) -> None:
        """
        Args:
            stack: The encoders.
            limits: Of processes, memory and batches.
            cache: Folder of embeddings that were made before, and where new ones go.
        """
        self._stack, self._limits, self.halved = stack, limits or Limits(), 0
        self._specs = _specs(stack, stack.audio_encoders)
        self._clip_cache = cache and _cache(cache, self._specs)
        self._prompt_cache = cache and _cache(cache, _specs(stack, stack.text))
        self.prompt = lru_cache(PROMPTS_KEPT)(self._prompt)

    def files(
        self, files: Iterable[tuple[Path, Span | None]], on_clips: Callable[[int], None] = lambda count: None
    ) -> Iterator[list[EncodedClip]]:
        """`clips` of files, or spans of them in seconds."""
        return self.clips((ClipFile(path, span_s) for path, span_s in files), on_clips)

    def clips(
        self, clips: Iterable[Clip], on_clips: Callable[[int], None] = lambda count: None
    ) -> Iterator[list[EncodedClip]]:
        """Yields the clips encoded, `CHUNK_CLIPS` at a time; a clip that is named twice in a chunk is heard once.

        Args:
            clips: May be many: looked at as they are needed. Waveforms only where `limits.workers` is 0.
            on_clips: Is called with the number of clips done since the last call.

        Raises:
            OSError: A worker process was killed.
        """
        chunks, ahead = tee(_chunks(clips))
        with closing(self._prepared(clip for chunk in ahead for clip in _distinct(chunk))) as prepared:
            for chunk in chunks:
                distinct = _distinct(chunk)
                of_each = dict(zip(map(_name, distinct), self._encoded(distinct, prepared, on_clips), strict=True))
                on_clips(len(chunk) - len(distinct))
                yield [of_each[_name(clip)] for clip in chunk]

    def _prompt(self, text: str) -> EncodedPrompt:
        """Encodes a prompt, one at a time: neighbours of another length would change its embedding."""
        try:
            return EncodedPrompt(self._read(text), max(self._stack.cut_tokens(text).values(), default=0))
        except (ValueError, RuntimeError) as error:
            return EncodedPrompt({}, error=str(error) or type(error).__name__)

    def _read(self, text: str) -> Blocks:
        found = self._prompt_cache.get(prompt_key(text)) if self._prompt_cache else {}
        if len(found) == len(self._stack.text):
            return found
        features = self._stack.embed_prompt(text)
        if self._prompt_cache:
            self._prompt_cache.put(prompt_key(text), features)
        return features

    def _prepared(self, clips: Iterable[Any]) -> Generator[Prepared, None, None]:
        hearing = replace(Hearing.of(self._stack), cache=self._clip_cache)
        return prepare_ahead(clips, hearing, self._limits.workers, self._limits.memory_bytes // 2)

    def _encoded(
        self, clips: Sequence[Clip], prepared: Iterator[Prepared], on_clips: Callable[[int], None]
    ) -> list[EncodedClip]:
        numbers = range(len(clips))
        rows = Rows(numbers, self._specs)
        own = islice(prepared, len(clips))
        encoded = encode_clips(numbers, own, self._stack, self._limits, rows, on_clips)
        self.halved += encoded.halved
        of_each = [
            EncodedClip({name: values[row] for name, values in rows.values.items()}, rows.failed.get(row))
            for row in numbers
        ]
        if self._clip_cache:
            for clip, digest, made in zip(clips, encoded.audio_sha256, of_each, strict=True):
                if isinstance(clip, ClipFile) and digest and made.error is None:
                    self._clip_cache.put(clip_key(digest, clip.span_s), made.features)
        return of_each


def _specs(stack: Stack, encoders: Iterable[Encoder]) -> dict[str, EncoderSpec]:
    provenance = stack.provenance()
    return {each.block.name: EncoderSpec(each.block, provenance[each.block.name]) for each in encoders}


def _cache(root: Path, specs: Mapping[str, EncoderSpec]) -> EmbeddingCache:
    return EmbeddingCache(root, {name: Column(spec.fingerprint, spec.block.dim) for name, spec in specs.items()})


def _chunks(clips: Iterable[Clip]) -> Iterator[list[Clip]]:
    rest = iter(clips)
    return iter(lambda: list(islice(rest, CHUNK_CLIPS)), [])


def _distinct(chunk: Sequence[Clip]) -> list[Clip]:
    return list({_name(clip): clip for clip in chunk}.values())


def _name(clip: Clip) -> Hashable:
    return clip if isinstance(clip, ClipFile) else id(clip)
