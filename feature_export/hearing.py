"""Clips to be scored, as they are prepared for the networks: files, of which some were heard before, and waveforms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from feature_export.audio import Waveform
from feature_export.preparation import ClipFile, Preparation, Prepared, file_sha256
from tunejury_jax.embedding_cache import EmbeddingCache, clip_key

__all__ = ["Hearing"]


@dataclass(frozen=True)
class Hearing(Preparation):
    """Prepares clips; of one whose embeddings are in the cache only what is missing, and where nothing is, the file is
    hashed and not decoded.

    Attributes:
        cache: Of the audio encoders; None to hear everything anew.
    """

    cache: EmbeddingCache | None = None

    def __call__(self, clip: ClipFile | Waveform) -> Prepared:
        """Prepares one clip; one that cannot be used has a reason."""
        if isinstance(clip, Waveform):
            return self._of_samples(clip)
        digest = file_sha256(clip.path) if self.cache else None
        if self.cache is None or digest is None:
            return super().__call__(clip)
        found = self.cache.get(clip_key(digest, clip.span_s))
        left = self._without(found)
        prepared = left(clip) if left.whole or left.framings else Prepared(digest)
        return prepared._replace(embedded={**prepared.embedded, **found})

    def _without(self, found: Mapping[str, Any]) -> Preparation:
        whole = tuple(encoder for encoder in self.whole if encoder.block.name not in found)
        framings = {name: framing for name, framing in self.framings.items() if name not in found}
        return Preparation(whole, framings, self.rates_hz)

    def _of_samples(self, wave: Waveform) -> Prepared:
        try:
            with torch.inference_mode():
                return self._prepared(wave, None)
        except (ValueError, RuntimeError, MemoryError) as error:
            return Prepared(None, str(error) or type(error).__name__)
