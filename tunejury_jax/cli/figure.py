"""`tunejury figure`: pictures of what other commands measured."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DrawFigure"]

MAX_BYTES = 64 << 20
Kind = Literal["reliability", "ksweep", "systems", "probe", "releases", "best-of-n", "over-optimisation"]
DRAWN: dict[Kind, tuple[str, str]] = {
    "reliability": ("tunejury_jax.figures.reliability", "metrics.json of python -m trainers.evaluate"),
    "ksweep": ("tunejury_jax.figures.ksweep", "tunejury calibrate ksweep --json"),
    "systems": ("tunejury_jax.figures.systems", "tunejury evaluate systems --out"),
    "probe": ("tunejury_jax.figures.probe", "tunejury evaluate probe --out"),
    "releases": ("tunejury_jax.figures.releases", "tunejury percentiles build"),
    "best-of-n": ("tunejury_jax.applications.best_of_n.plot", "curve.json of tunejury best-of-n"),
    "over-optimisation": (
        "tunejury_jax.applications.best_of_n.over_optimisation_plot",
        "over_optimisation.json of tunejury best-of-n --judge",
    ),
}
"""What is drawn -> the module that draws it, and which command writes its numbers."""


@dataclass(frozen=True)
class DrawFigure:
    """Draw what another command measured, as PNG and PDF: accuracy over confidence and margin (reliability), anchors of
    K labels (ksweep), systems, groups or deciles (probe), released scores (releases), best of N, over-optimisation."""

    kind: Annotated[Kind, tyro.conf.Positional]
    """What to draw."""
    source: Annotated[Path, tyro.conf.Positional]
    """The JSON that the command wrote."""
    out: Path
    """Where the pictures go, without suffix: OUT.png and OUT.pdf."""

    def run(self) -> int:
        from tunejury_jax.documents import read_object
        from tunejury_jax.figures.canvas import save

        figure = self._draw(read_object(self.source, MAX_BYTES))
        self.out.parent.mkdir(parents=True, exist_ok=True)
        print(f"Written: {', '.join(map(str, save(figure, self.out)))}")
        return 0

    def _draw(self, document: dict[str, Any]) -> "Figure":
        module, source = DRAWN[self.kind]
        try:
            return import_module(module).draw(document)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(
                f"source: {self.source} is not what {self.kind} is drawn from, the JSON of {source}: {error!r}"
            ) from error
