"""What else changed while the reward rose: how clips fit their prompts, and how far they are from real music."""

from collections.abc import Callable
from typing import Any

from tunejury_jax.applications.clip_sets import ClipSets
from tunejury_jax.applications.ditto.folder import SIDES, DittoFolder
from tunejury_jax.generation_metrics import Mad, clap_score, mad
from tunejury_jax.selection import Embedding

__all__ = ["metric_changes"]


def metric_changes(
    folder: DittoFolder,
    sets: Callable[[Embedding], ClipSets],
    reference: str | None = None,
    embedding: Embedding = "mert",
) -> dict[str, Any]:
    """Measures the clips that a folder lists, before and after. What cannot be computed is told.

    Args:
        folder: Its clips are listed.
        sets: Reads clips in an embedding.
        reference: Real music, which MAD compares with, as `ClipSets.read` takes it.
        embedding: What MAD is taken from; the published ones are from MERT.

    Returns:
        By metric its estimates `before` and `after` and their `change`; and why others were not computed. JSON.
    """
    computed, not_computed = {}, {}
    measures = {"clap_score": lambda: _clap_score(sets), "mad": lambda: _mad(sets, reference, embedding)}
    for name, prepare in measures.items():
        try:
            measure = prepare()
            before, after = (measure(str(folder.manifest(side))).to_json() for side in SIDES)
            computed[name] = {"before": before, "after": after, "change": after["value"] - before["value"]}
        except ValueError as error:
            not_computed[name] = str(error)
    return {"metrics": computed, "not_computed": not_computed, "mad_from": embedding}


def _clap_score(sets: Callable[[Embedding], ClipSets]) -> Callable[[str], Any]:
    clap = sets("clap")

    def measure(clips: str) -> Any:
        made = clap.captioned([clips])
        return clap_score(made.clips.values, made.captions)

    return measure


def _mad(sets: Callable[[Embedding], ClipSets], reference: str | None, embedding: Embedding) -> Callable[[str], Mad]:
    if reference is None:
        raise ValueError("there is no reference set")
    heard = sets(embedding)
    real = heard.read([reference])

    def measure(clips: str) -> Mad:
        made = heard.read([clips])
        real.require_made_as(made)
        return mad(made.values, real.values)

    return measure
