"""What else changes while the reward rises: how well clips fit their prompts, how far they are from real music, and how
unlike each other they are."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tunejury_jax.applications.clip_sets import ClipSets
from tunejury_jax.generation_metrics import clap_score, fad, mad, mpcd
from tunejury_jax.generation_metrics.embeddings import Embeddings
from tunejury_jax.selection import Embedding

__all__ = ["SideMetrics", "side_metrics"]

Rows = Float[np.ndarray, "clips dim"]


@dataclass(frozen=True)
class SideMetrics:
    """Metrics of sets of clips.

    Attributes:
        by_name: An estimate for each set.
        embeddings: Name -> the embedding that it was taken from.
        not_computed: Name -> why it is not there.
        reference_failed: Clips of the reference set that cannot be used -> why.
    """

    by_name: Mapping[str, Sequence[dict[str, Any]]]
    embeddings: Mapping[str, Embedding]
    not_computed: Mapping[str, str]
    reference_failed: Mapping[str, str]

    def gaps(self) -> Iterator[str]:
        """What was not measured, a line each."""
        for name, reason in self.not_computed.items():
            yield f"{name}: not computed: {reason}"
        if self.reference_failed:
            path, reason = next(iter(self.reference_failed.items()))
            yield f"{len(self.reference_failed)} files of the reference set cannot be used, such as {path}: {reason}"


def side_metrics(
    clips: Sequence[Sequence[Path]],
    sets: Callable[[Embedding], ClipSets],
    prompts: Path,
    reference: str | None = None,
    embedding: Embedding | None = None,
) -> SideMetrics:
    """Measures sets of clips. What cannot be computed is told.

    Args:
        clips: The sets, each of the same prompts in the same order.
        sets: Reads clips in an embedding; is called once for each.
        prompts: File of the prompts: the captions of the CLAP score, without a prefix.
        reference: Real music, which FAD and MAD compare with, as `ClipSets.read` takes it.
        embedding: What FAD, MAD and MPCD are taken from; by default CLAP for FAD and MERT for the others, as published.
    """
    heard: dict[Embedding, _Heard] = {}
    by_name, embeddings, not_computed = {}, {}, {}
    for name, (published, measure) in _MEASURES.items():
        own = published if embedding is None or name == "clap_score" else embedding
        try:
            if own not in heard:
                heard[own] = _Heard(clips, sets(own), prompts, reference)
            by_name[name] = [each.to_json() for each in measure(heard[own])]
            embeddings[name] = own
        except ValueError as error:
            not_computed[name] = str(error)
    failed = {path: reason for each in heard.values() for path, reason in each.sets.failed.items()}
    return SideMetrics(by_name, embeddings, not_computed, failed)


@dataclass(frozen=True)
class _Heard:
    """Sets of clips, their captions and the reference set in one embedding, each read when it is needed."""

    paths: Sequence[Sequence[Path]]
    sets: ClipSets
    prompts: Path
    real: str | None

    @cached_property
    def clips(self) -> list[Rows]:
        """For each set, a row a prompt."""
        rows = dict(zip(self.distinct, self.heard.values, strict=True))
        return [np.stack([rows[path] for path in paths]) for paths in self.paths]

    @cached_property
    def distinct(self) -> list[Path]:
        """The clips that are in some set, each once."""
        return list(dict.fromkeys(path for paths in self.paths for path in paths))

    @cached_property
    def heard(self) -> Embeddings:
        """A row a distinct clip."""
        made = self.sets.read(list(map(str, self.distinct)))
        if unheard := next(iter(self.sets.failed.items()), None):
            raise ValueError(f"{len(self.sets.failed)} clips cannot be used, such as {': '.join(unheard)}")
        return made

    @cached_property
    def captions(self) -> Rows:
        """A row a prompt."""
        return self.sets.captioned(list(map(str, self.paths[0])), prompts=self.prompts).captions

    @cached_property
    def reference(self) -> Rows:
        if self.real is None:
            raise ValueError("there is no reference set")
        made = self.sets.read([self.real])
        self.heard.require_made_as(made)
        return made.values


_MEASURES: dict[str, tuple[Embedding, Callable[[_Heard], list[Any]]]] = {
    "clap_score": ("clap", lambda heard: [clap_score(rows, heard.captions) for rows in heard.clips]),
    "fad": ("clap", lambda heard: [fad(rows, heard.reference) for rows in heard.clips]),
    "mad": ("mert", lambda heard: [mad(rows, heard.reference) for rows in heard.clips]),
    "mpcd": ("mert", lambda heard: [mpcd(rows) for rows in heard.clips]),
}
"""Name -> the embedding of the published numbers, and what is computed for each set."""
