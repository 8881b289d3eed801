"""`tunejury calibrate`: anchors from scored battles, applied and judged."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tunejury_jax.calibration.columns import Columns
from tunejury_jax.cli.calibrate_diagnose import DiagnoseBattles

if TYPE_CHECKING:
    from tunejury_jax.calibration.anchors import Anchors
    from tunejury_jax.calibration.battles import Battles

__all__ = ["Calibrate"]

MethodName = Literal["published", "scale", "hierarchical", "scale-hierarchical", "active", "scale-hierarchical-active"]


@dataclass(frozen=True)
class FitAnchors:
    """Fit an offset a system (Bradley-Terry on top of the head's margins) to labelled battles."""

    labels: Path
    """Table (csv) of battles with preferences and scores."""
    out: Path
    """Where the anchors go, as JSON."""
    pinned: str | None = None
    """System whose offset is 0."""
    l2: float = 1.0
    """How strongly offsets are held towards 0."""
    scale: bool = False
    """Fit the scale of the margins too: heads are often too sure of battles between later systems."""
    hierarchical: bool = False
    """Let the battles say how strongly offsets are held, starting from l2."""
    columns: Columns = field(default_factory=Columns)

    def run(self) -> int:
        from tunejury_jax.calibration.ksweep import Method

        battles = _read(self.labels, self.columns)
        anchors = Method(scaled=self.scale, hierarchical=self.hierarchical).fit(battles, self.l2, self.pinned)
        anchors.save(self.out)
        for warning in anchors.warnings:
            print(f"note: {warning}")
        _show_offsets(anchors)
        print(f"{self.out}: {len(anchors.systems)} systems from {anchors.battles} battles, scale {anchors.scale:.3f}")
        return 0


@dataclass(frozen=True)
class ApplyAnchors:
    """Correct the margins of scored battles."""

    labels: Path
    """Table (csv) of battles with scores."""
    anchors: Path
    """What `fit` wrote."""
    out: Path
    """Table to write: id, logit, probability that a is preferred, its standard deviation, whether both are known."""
    columns: Columns = field(default_factory=Columns)

    def run(self) -> int:
        import pyarrow as pa
        from pyarrow import csv

        from tunejury_jax.calibration.anchors import Anchors
        from tunejury_jax.documents import write_whole

        battles, anchors = _read(self.labels, self.columns), Anchors.load(self.anchors)
        calibrated = anchors.calibrate(battles)
        text = io.BytesIO()
        csv.write_csv(pa.table({self.columns.id: battles.ids, **calibrated._asdict()}), text)
        write_whole(self.out, text.getvalue())
        unknown = sorted({*battles.systems} - {*anchors.systems})
        print(f"{self.out}: {len(battles.ids)} battles; without correction, since they were not fitted: {unknown}")
        return 0


@dataclass(frozen=True)
class SweepAnchors:
    """How accurate anchors of K labels are: fitted on K battles of a pool, judged on others, over several seeds."""

    labels: Path
    """Table (csv) of battles with preferences and scores."""
    universe: Path
    """The published increment (JSON with `new_uuids`): ids to draw pools and tests from, in its order."""
    ks: tuple[int, ...] = (0, 3, 10, 30, 100, 250)
    """How many labels."""
    seeds: int = 5
    """Draws."""
    pinned: str | None = None
    """System whose offset is 0."""
    l2: float = 1.0
    """How strongly offsets are held towards 0."""
    methods: tuple[MethodName, ...] = ()
    """Compare these with the published method, seed by seed."""
    json: Path | None = None
    """Write the numbers here."""
    columns: Columns = field(default_factory=Columns)

    def run(self) -> int:
        from tunejury_jax.calibration.increment import read_increment
        from tunejury_jax.calibration.ksweep import PUBLISHED, compare, k_sweep, universe_of
        from tunejury_jax.documents import write_json

        battles = _read(self.labels, self.columns)
        universe = universe_of(battles, read_increment(self.universe))
        names = dict.fromkeys((PUBLISHED, *self.methods))
        swept = {name: k_sweep(battles, universe, self.ks, self.seeds, name, self.l2, self.pinned) for name in names}
        paired = {name: list(compare(rows, swept[PUBLISHED])) for name, rows in swept.items() if name != PUBLISHED}
        document = {"rows": swept[PUBLISHED], "universe": len(universe), "methods": swept, "paired": paired}
        if self.json:
            write_json(self.json, document)
        _show_sweep(swept, paired)
        return 0


@dataclass(frozen=True)
class Calibrate:
    """Fit an offset a system to labelled battles, apply offsets, see how many labels they need, and why."""

    action: (
        Annotated[FitAnchors, tyro.conf.subcommand("fit")]
        | Annotated[ApplyAnchors, tyro.conf.subcommand("apply")]
        | Annotated[SweepAnchors, tyro.conf.subcommand("ksweep")]
        | Annotated[DiagnoseBattles, tyro.conf.subcommand("diagnose")]
    )

    def run(self) -> int:
        return self.action.run()


def _read(path: Path, columns: Columns) -> "Battles":
    from tunejury_jax.calibration.battles import read_battles

    return read_battles(path, columns)


def _show_offsets(anchors: "Anchors") -> None:
    import numpy as np
    from rich.table import Table

    from tunejury_jax.console import make_console

    table = Table("system", "offset (logits)", "± std", title="Offsets: above 0, the head favours the system")
    deviations = np.sqrt(np.diag(anchors.covariance))
    for place in np.argsort(-anchors.beta):
        table.add_row(anchors.systems[place], f"{anchors.beta[place]:+.3f}", f"{deviations[place]:.3f}")
    make_console().print(table)


def _show_sweep(swept: dict[str, list[dict[str, Any]]], paired: dict[str, list[dict[str, Any]]]) -> None:
    import numpy as np
    from rich.table import Table

    from tunejury_jax.console import make_console

    ks = [str(row["k"]) for row in next(iter(swept.values()))]
    table = Table(
        "method", "", *(f"K = {k}" for k in ks), title="Anchors of K labels: mean over seeds ± population std"
    )
    for name, rows in swept.items():
        table.add_row(name, "accuracy", *(f"{row['mean']:.4f} ±{row['std']:.4f}" for row in rows))
        table.add_row("", "log loss", *(f"{np.mean(row['log_loss']):.4f}" for row in rows))
        for measure in ("accuracy", "log_loss") if name in paired else ():
            table.add_row("", f"Δ {measure.replace('_', ' ')}", *(_interval(row[measure]) for row in paired[name]))
    make_console().print(table)


def _interval(difference: dict[str, float | None]) -> str:
    mean, low, high = (difference[name] for name in ("mean", "low", "high"))
    return f"{mean:+.4f}" if low is None else f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"
