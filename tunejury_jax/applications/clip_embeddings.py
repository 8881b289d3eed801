"""Embeddings of audio for the metrics of generators, and of captions; what was embedded before comes from a cache."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from feature_export.audio import SignalPath
from feature_export.clip_encoder import ClipEncoder, EncodedClip
from feature_export.encoders import Compute, Stack, load_stack
from feature_export.export import Limits
from feature_export.weights.licences import require_accepted
from tunejury_jax.generation_metrics.embeddings import STORED_BLOCKS, Embeddings
from tunejury_jax.progress import progress
from tunejury_jax.score_files import AudioFile
from tunejury_jax.selection import Embedding

__all__ = ["Captions", "ClipEmbedder", "EmbeddedFiles"]


class EmbeddedFiles(NamedTuple):
    """What came of audio files.

    Attributes:
        embeddings: Of those that can be used.
        files: The same, in order.
        failed: Why others cannot, by path.
    """

    embeddings: Embeddings
    files: tuple[AudioFile, ...]
    failed: dict[str, str]


class Captions(NamedTuple):
    """Embeddings of captions, and how many of these are longer than the encoder reads."""

    values: Float[np.ndarray, "clips dim"]
    cut: int


class ClipEmbedder:
    """One embedding of clips; and of captions, with `clap` and `muq`, which have one space for both.

    Attributes:
        name: Which.
    """

    def __init__(
        self,
        name: Embedding,
        cache: Path | None = None,
        limits: Limits | None = None,
        device: str | None = None,
    ) -> None:
        """
        Args:
            name: Which embedding.
            cache: Folder of embeddings that were made before, and where new ones go.
            limits: Of processes, memory and batches.
            device: Where the networks run; by default a GPU if there is one.

        Raises:
            ValueError: Weights are not there, damaged, or their licence was not accepted.
        """
        self.name: Embedding = name
        stack = _load(name, Compute(device) if device else Compute.best())
        (self._audio,) = stack.audio
        self._text = stack.text
        self._encoder = ClipEncoder(stack, limits, cache)

    def files(self, files: Sequence[AudioFile]) -> EmbeddedFiles:
        """Embeds files; one that cannot be used is told, and the others are embedded.

        Raises:
            ValueError: None of them can be used; gives the first reason.
        """
        with progress("embed", len(files), "clips") as advance:
            chunks = self._encoder.files(((file.path, file.span_s) for file in files), advance)
            clips = [self._told(clip) for chunk in chunks for clip in chunk]
        pairs = list(zip(files, clips, strict=True))
        failed = {str(file.path): clip for file, clip in pairs if isinstance(clip, str)}
        rows = [clip for clip in clips if not isinstance(clip, str)]
        if not rows:
            raise ValueError(f"inputs: no clip can be used, the first of {len(files)}: {next(iter(failed.items()))}")
        used = tuple(file for file, clip in pairs if not isinstance(clip, str))
        made = Embeddings(np.stack(rows), tuple(file.id for file in used), self.name, self._audio.provenance())
        return EmbeddedFiles(made, used, failed)

    def captions(self, captions: Sequence[str]) -> Captions:
        """Embeds captions, each distinct one once.

        Raises:
            ValueError: One cannot be used.
        """
        made = {caption: self._encoder.prompt(caption) for caption in dict.fromkeys(captions)}
        for caption, prompt in made.items():
            if prompt.error is not None:
                raise ValueError(f"caption {caption!r}: {prompt.error}")
        block = self._text[0].block.name
        values = np.stack([made[caption].features[block] for caption in captions])
        return Captions(values, sum(made[caption].cut > 0 for caption in captions))

    def _told(self, clip: EncodedClip) -> Float[np.ndarray, " dim"] | str:
        return clip.features[self._audio.block.name] if clip.error is None else clip.error


def _load(name: Embedding, compute: Compute) -> Stack:
    require_accepted([STORED_BLOCKS.get(name, "mert")])
    path = SignalPath()
    if name in STORED_BLOCKS:
        return load_stack([name], path, compute)
    # Here: it imports transformers, which takes seconds.
    from feature_export.encoders.mert import MertPooling, make

    pooling = MertPooling(over_time="maximum") if name == "mert-max" else MertPooling(layer=None)
    return Stack(*make(path, compute, pooling), path, compute.device)
