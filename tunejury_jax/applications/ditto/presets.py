"""What the paper optimised by DITTO, and what came of it."""

from dataclasses import dataclass

from tunejury_jax.applications.generators.cards import CARDS
from tunejury_jax.errors import one_of

__all__ = ["OWN", "PRESETS", "Preset", "Published", "choose_preset"]

OWN = "own"
"""The preset of every backbone: its own recipe, and the paper's way of moving noise."""


@dataclass(frozen=True)
class Published:
    """Mean rewards of the paper (table 5), whose `after` is the last iterate and not the best.

    Attributes:
        n: Prompts, the first of the published 100.
        before: Of the clips of iterate 0.
        after: Of the clips of iterate 5.
        improved: Prompts whose reward rose.
    """

    n: int
    before: float
    after: float
    improved: int


@dataclass(frozen=True)
class Preset:
    """Which clips are made: prompt number i has the seed `seed + stride * i`.

    Attributes:
        generator: Name of the backbone.
        recipe: Of the backbone, by name.
        seed: Of the first prompt.
        stride: From one prompt's seed to the next one's.
        published: What the paper has, if it has this.
    """

    generator: str
    recipe: str = OWN
    seed: int = 42
    stride: int = 100
    published: Published | None = None


PRESETS = {
    "paper-sao-small": Preset(
        "stable-audio-open-small", "paper", stride=0, published=Published(30, 0.159, 0.404, improved=19)
    ),
    "paper-tangoflux": Preset("tangoflux", "paper", published=Published(100, -0.978, 0.578, improved=100)),
}
"""By name. The paper has all clips of Stable Audio Open small begin with one seed; both have clips of 10 s."""


def choose_preset(name: str, generator: str | None) -> Preset:
    """The preset of this name, for a backbone if one is named.

    Raises:
        ValueError: There is no such preset, it is of another backbone, no backbone is named for `own`, or the clips of
            the one named have no gradients.
    """
    one_of("preset", name, (OWN, *PRESETS))
    if name == OWN:
        recipes = {card.name: card.differentiable for card in CARDS.values() if card.differentiable}
        chosen = one_of("generator", generator, tuple(recipes))
        return Preset(chosen, recipes[chosen])
    preset = PRESETS[name]
    if generator not in (None, preset.generator):
        raise ValueError(f"preset: {name!r} is of {preset.generator}, got the generator {generator!r}; try {OWN!r}")
    return preset
