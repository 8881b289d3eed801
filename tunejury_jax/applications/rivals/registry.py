"""Which rivals there are, what they need, and how one is loaded."""

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from tunejury_jax.applications.rivals.protocol import RivalScorer
from tunejury_jax.errors import one_of

__all__ = ["RIVALS", "RivalCard", "load_rival"]


class RivalCard(NamedTuple):
    """What is known of a rival.

    Attributes:
        title: What it scores.
        licence: Of its code and weights, as its repository states it.
        needs: What to install or clone.
        module: Here, with `load`.
        axis: Of scorers that have several.
    """

    title: str
    licence: str
    needs: str
    module: str
    axis: str | None = None


_AUDIOBOX = {"CE": "content enjoyment", "CU": "content usefulness", "PC": "production complexity"}
_AUDIOBOX |= {"PQ": "production quality"}

RIVALS: dict[str, RivalCard] = {
    **{
        f"audiobox-{axis.lower()}": RivalCard(
            f"Audiobox-Aesthetics, {title}", "CC-BY-4.0", "pip install audiobox-aesthetics", "audiobox", axis
        )
        for axis, title in _AUDIOBOX.items()
    },
    "songeval-rm": RivalCard(
        "SongEval-RM, mean of five axes", "CC-BY-NC-SA-4.0", "clone of ASLP-lab/SongEval", "songeval"
    ),
    "muq-eval-a1": RivalCard(
        "MuQ-Eval A1, musical impression",
        "MIT; MuQ CC-BY-NC-4.0",
        "clone of dgtql/MuQ-Eval, weights in A1/",
        "muq_eval",
    ),
    "cmi-rm": RivalCard(
        "CMI-RM, musicality", "CC-BY-NC-SA-4.0", "clone of Haiwen-Xia/CMI-RewardBench, weights in weights/", "cmi_rm"
    ),
    "pam": RivalCard("PAM score", "MIT", "clone of soham97/PAM", "pam"),
}
"""By the name that commands take."""


def load_rival(asked: str, device: str = "cpu") -> RivalScorer:
    """Loads a rival.

    Args:
        asked: Its name, or `name=folder`, where the folder is its clone, or of Audiobox the checkpoint file.
        device: Of its networks, `cpu`, `cuda` or `cuda:1`.

    Raises:
        ValueError: There is no such rival, or what it needs is not there; says what that is.
    """
    name, _, source = asked.partition("=")
    card = RIVALS[one_of("rivals", name, tuple(RIVALS))]
    if source and not Path(source).exists():
        raise ValueError(f"rivals: {name}: {source} does not exist")
    load = import_module(f"tunejury_jax.applications.rivals.{card.module}").load
    return (partial(load, axis=card.axis) if card.axis else load)(Path(source) if source else None, device)
