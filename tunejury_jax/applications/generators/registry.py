"""Generators by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from feature_export.encoders.compute import Compute
from feature_export.encoders.state_file import load_strictly, read_state
from feature_export.weights.digests import sha256_of
from tunejury_jax.applications.generators.cards import Card, card_of
from tunejury_jax.applications.generators.protocol import Generator, TrainableGenerator
from tunejury_jax.applications.generators.provenance import TUNED
from tunejury_jax.applications.generators.recipes import Recipe, TokenRecipe
from tunejury_jax.applications.generators.worker import load_worker
from tunejury_jax.errors import one_of
from tunejury_jax.extras import import_extra

__all__ = ["load_generator", "tune", "worker_file"]

WORKER = "worker:"


def load_generator(
    name: str,
    recipe: str = "own",
    *,
    steps: int | None = None,
    guidance: float | None = None,
    weights: Path | None = None,
    tuned: Path | None = None,
    compute: Compute | None = None,
) -> Generator:
    """Loads a backbone, or starts a worker.

    Args:
        name: One of `CARDS`, or `worker:FILE.json` for a generator in an environment of its own.
        recipe: One of the backbone's.
        steps: Instead of the recipe's.
        guidance: Instead of the recipe's.
        weights: The folder that `hf download` made; by default the one that the card names.
        tuned: A `.safetensors` file with the weights of the trained part, after fine-tuning.
        compute: Where and how the networks run; by default on the CPU in float32.

    Raises:
        ValueError: Unknown generator or recipe, weights are not there (says how to get them) or are not those of the
            backbone, or an option does not go with the generator.
    """
    if file := worker_file(name, recipe, steps=steps, guidance=guidance, weights=weights, tuned=tuned):
        return load_worker(file)
    card = card_of(name)
    chosen = _recipe(card, recipe, {"steps": steps, "guidance": guidance})
    folder = weights or card.folder
    _require(card, folder)
    backbone = import_extra(f"{__package__}.{card.module}", card.name, "export,generate")
    generator = backbone.load(folder, chosen, compute or Compute(), name)
    if tuned is not None:
        tune(generator, tuned)
    return generator


def worker_file(name: str, recipe: str = "own", **options: Any) -> Path | None:
    """The file of `worker:FILE.json`; None of a backbone's name.

    Raises:
        ValueError: Options are given, which go with a backbone only.
    """
    if not name.startswith(WORKER):
        return None
    file, changed = Path(name.removeprefix(WORKER)), {**options, "recipe": None if recipe == "own" else recipe}
    if given := [option for option, value in changed.items() if value is not None]:
        raise ValueError(f"{', '.join(given)}: a worker has its own; say it in the command of {file}")
    return file


def _recipe(card: Card, name: str, changes: dict[str, Any]) -> Recipe:
    recipe = card.recipes[one_of("recipe", name, tuple(card.recipes))]
    given = {field: value for field, value in changes.items() if value is not None}
    if "steps" in given and isinstance(recipe, TokenRecipe):
        raise ValueError(f"steps: {card.name} draws tokens and has none")
    return replace(recipe, **given)


def _require(card: Card, folder: Path) -> None:
    if card.module is None:
        raise ValueError(f"generator: {card.name} runs as a worker only, as {WORKER}FILE.json; see docs/generators.md")
    missing = card.missing(folder)
    if missing:
        raise ValueError(
            f"weights: {folder} lacks {', '.join(missing)} of {card.title}, published under {card.licence}. "
            f"To get it:\n{card.how_to_get(folder)}"
        )


def tune(generator: Generator, tuned: Path) -> None:
    """Puts fine-tuned weights in place of the published ones; from then on they are part of the provenance.

    Args:
        generator: A backbone of this project.
        tuned: A `.safetensors` file with the weights of its trained part.

    Raises:
        ValueError: The backbone cannot be fine-tuned, or the weights do not fit it.
    """
    if not isinstance(generator, TrainableGenerator):
        raise ValueError(f"tuned: {generator.name} cannot be fine-tuned here")
    load_strictly(generator.trained, read_state(tuned), str(tuned))
    weights: dict[str, str] = generator.weights  # type: ignore[attr-defined]  # see provenance.describe
    weights[TUNED] = sha256_of(tuned)
