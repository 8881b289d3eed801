"""Sets of clips, whatever they are given as: audio, a feature store, or embeddings that were saved."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from tunejury_jax.applications.captions import with_captions
from tunejury_jax.applications.prompts import PREFIX
from tunejury_jax.errors import one_of
from tunejury_jax.extras import import_extra
from tunejury_jax.generation_metrics.embeddings import Embeddings
from tunejury_jax.generation_metrics.store_clips import StoreClips, store_captions, store_clips
from tunejury_jax.score_files import AudioFile
from tunejury_jax.score_inputs import find_inputs
from tunejury_jax.selection import Embedding, Selection

__all__ = ["Captioned", "ClipSets"]

PURPOSE = "embedding audio"
ALL = Selection()


class Captioned(NamedTuple):
    """Clips and their captions, row by row."""

    clips: Embeddings
    captions: Float[np.ndarray, "clips dim"]


class ClipSets:
    """Reads sets of clips in one embedding, and counts what cannot be used. Encoders are loaded when audio is read.

    Attributes:
        name: Which embedding.
        failed: Why clips cannot be used, by path or key.
        passed_over: Files in folders that are no audio.
        cut: Captions that are longer than the encoder reads.
    """

    def __init__(self, name: Embedding, cache: Path | None = None, device: str | None = None, workers: int = 0) -> None:
        """
        Args:
            name: Which embedding.
            cache: Folder of embeddings that were made before, and where new ones go.
            device: Where encoders run; by default a GPU if there is one.
            workers: Processes that decode and resample ahead; 0 works in this one.
        """
        self.name: Embedding = name
        self.failed: dict[str, str] = {}
        self.passed_over = self.cut = 0
        self._cache, self._device, self._workers = cache, device, workers

    def read(self, inputs: Sequence[str], selection: Selection = ALL) -> Embeddings:
        """The embeddings of a set.

        Args:
            inputs: As `find_inputs` takes them; or one feature store, or one file (.npz) of embeddings.
            selection: Which clips of a store.

        Raises:
            ValueError: There is none, it cannot be read, holds another embedding, or no clip can be used.
        """
        if store := _store(inputs, selection):
            return self._kept(store_clips(store, self.name, selection))
        if len(inputs) == 1 and inputs[0].endswith(".npz"):
            return self._saved(Path(inputs[0]))
        return self._embedded(self._found(inputs))[0]

    def captioned(
        self,
        inputs: Sequence[str],
        selection: Selection = ALL,
        prompts: Path | None = None,
        prefix: str = PREFIX,
    ) -> Captioned:
        """The embeddings of clips and of their captions, by CLAP.

        Args:
            inputs: As `find_inputs` takes them, or one feature store.
            selection: Which clips of a store.
            prompts: See `with_captions`, as `prefix`; both are for audio.
            prefix: A store's prompts are taken as they are.

        Raises:
            ValueError: As `read`, clips have no caption, or the embedding is another one.
        """
        one_of("embedding", self.name, ("clap",))
        if store := _store(inputs, selection):
            clips, captions = store_captions(store, selection)
            return Captioned(self._kept(clips), captions)
        made, files = self._embedded(with_captions(self._found(inputs), prompts, prefix))
        texts = self._embedder.captions([file.prompt or "" for file in files])
        self.cut += texts.cut
        return Captioned(made, texts.values)

    def counts(self) -> dict[str, int]:
        """What is worth telling, in words."""
        return {
            "clips that cannot be used": len(self.failed),
            "other files passed over": self.passed_over,
            "captions longer than the encoder reads": self.cut,
        }

    @cached_property
    def _embedder(self) -> Any:
        limits = import_extra("feature_export.export", PURPOSE).Limits(self._workers)
        module = import_extra("tunejury_jax.applications.clip_embeddings", PURPOSE)
        return module.ClipEmbedder(self.name, self._cache, limits, self._device)

    def _found(self, inputs: Sequence[str]) -> list[AudioFile]:
        files, passed_over = find_inputs(inputs, import_extra("feature_export.decode", PURPOSE).ACCEPTED)
        self.passed_over += passed_over
        return files

    def _embedded(self, files: Sequence[AudioFile]) -> tuple[Embeddings, tuple[AudioFile, ...]]:
        made = self._embedder.files(files)
        self.failed |= made.failed
        return made.embeddings, made.files

    def _kept(self, clips: StoreClips) -> Embeddings:
        self.failed |= clips.failed
        return clips.embeddings

    def _saved(self, path: Path) -> Embeddings:
        saved = Embeddings.load(path)
        if saved.name != self.name:
            raise ValueError(f"{path}: holds the embedding {saved.name!r}, expected {self.name!r}")
        return saved


def _store(inputs: Sequence[str], selection: Selection) -> str | None:
    """The location of the store, if one is given."""
    if len(inputs) == 1 and _is_store(inputs[0]):
        return inputs[0]
    if selection != ALL:
        raise ValueError(f"select: chooses clips of one feature store, got {' '.join(inputs)!r}")
    return None


def _is_store(location: str) -> bool:
    return "://" in location or any((Path(location) / name).is_file() for name in ("store.json", "dataset.json"))
