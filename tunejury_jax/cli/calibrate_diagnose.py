"""`tunejury calibrate diagnose`: where a head and the listeners disagree, and why that may be."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunejury_jax.calibration.columns import Columns
from tunejury_jax.evaluation.printing import finish, p_value, show, with_interval

if TYPE_CHECKING:
    from tunejury_jax.calibration.battles import Battles

__all__ = ["DiagnoseBattles"]


@dataclass(frozen=True)
class DiagnoseBattles:
    """Where a head and the listeners disagree: by system, by margin, by month, and how hard the battles are."""

    labels: Path
    """Table (csv) of battles with preferences and scores."""
    anchors: Path | None = None
    """What `fit` wrote, from other battles: also say what these offsets change, system by system."""
    month: str | None = None
    """Column of the month: also say how anchors of each month do on the others."""
    l2: float = 1.0
    """How strongly offsets are held towards 0."""
    json: Path | None = None
    """Write the numbers here."""
    columns: Columns = field(default_factory=Columns)

    def run(self) -> int:
        from tunejury_jax.calibration.agreement import by_margin, by_system
        from tunejury_jax.calibration.battles import read_battles
        from tunejury_jax.calibration.difficulty import difficulty
        from tunejury_jax.calibration.fit import Prior

        battles, prior = read_battles(self.labels, self.columns), Prior(self.l2)
        document: dict[str, Any] = {
            "difficulty": difficulty(battles, prior),
            "by_margin": by_margin(battles),
            "by_system": by_system(battles),
            **self._swing(battles),
            **self._by_month(battles, prior),
        }
        for name, rows in document.items():
            _SHOWN[name](rows)
        return finish(self.json, document)

    def _swing(self, battles: "Battles") -> dict[str, Any]:
        from tunejury_jax.calibration.agreement import swing
        from tunejury_jax.calibration.anchors import Anchors

        return {"swing": swing(battles, Anchors.load(self.anchors))} if self.anchors else {}

    def _by_month(self, battles: "Battles", prior: Any) -> dict[str, Any]:
        import numpy as np

        from tunejury_jax.calibration.difficulty import sizes
        from tunejury_jax.calibration.transfer import transfer
        from tunejury_jax.csv_columns import codes, read_columns

        if self.month is None:
            return {}
        months, (month,) = codes(read_columns(self.labels, [self.month])[self.month])
        margins = [
            {"month": name, **sizes(battles.take(np.flatnonzero(month == code)))} for code, name in enumerate(months)
        ]
        return {"margins": margins, "transfer": transfer(battles, months, month, prior)}


def _show_difficulty(found: dict[str, Any]) -> None:
    said = {
        "agreement": "head agrees with the listener",
        "promised": "its margins promise",
        "anchored": "with anchors, battles left out",
        "systems_alone": "strengths of systems alone, battles left out",
    }
    rows = [(text, with_interval(found[name])) for name, text in said.items()]
    rows += [(f"head, {row['battles']} by strength", with_interval(row["accuracy"])) for row in found["by_strength"]]
    show(f"{found['agreement']['n']} battles", ("share of battles", "value (95 % interval)"), rows)
    print(f"battles of a system with itself: {found['same_system']}")
    _show_sizes([{"month": "all", **found["margins"]}])


def _show_sizes(found: list[dict[str, Any]]) -> None:
    rows = [
        (
            row["month"],
            str(row["n"]),
            *(f"{row[name]:.4f}" for name in ("mean", "median")),
            *(with_interval(row[name]) for name in ("under_0.5", "under_1")),
        )
        for row in found
    ]
    show("Size of the margins", ("month", "battles", "mean", "median", "under 0.5", "under 1"), rows)


def _show_margins(found: list[dict[str, Any]]) -> None:
    header = ("|margin|", "battles", "agreement", "promised")
    show("By margin", header, [(_range(row), *_agreed(row)) for row in found])


def _show_systems(found: list[dict[str, Any]]) -> None:
    rows = [
        (
            row["system"],
            str(row["battles"]),
            *(with_interval(row[name]) for name in ("missed", "favoured", "lean")),
            *(p_value(row["p"][name]) for name in ("missed", "favoured", "lean")),
        )
        for row in sorted(found, key=lambda row: -row["lean"]["value"])
    ]
    header = ("system", "battles", "missed of won", "favoured of lost", "lean", "p missed", "p favoured", "p lean")
    show("Asymmetry: the head favours systems above", header, rows)


def _show_swing(found: list[dict[str, Any]]) -> None:
    rows = [(row["system"] + ("" if row["known"] else " (not fitted)"), *_changed(row)) for row in found]
    show("What the anchors change", ("system", "before", "after", "change", "p"), rows)


def _show_transfer(found: list[dict[str, Any]]) -> None:
    rows = [(row["fitted_on"], row["judged_on"], str(row["known"]), *_changed(row)) for row in found]
    header = ("fitted on", "judged on", "both known", "before", "after", "change", "p")
    show("Anchors of one month on another; on itself, battles left out", header, rows)


_SHOWN = {
    "difficulty": _show_difficulty,
    "by_margin": _show_margins,
    "by_system": _show_systems,
    "swing": _show_swing,
    "margins": _show_sizes,
    "transfer": _show_transfer,
}


def _changed(row: dict[str, Any]) -> tuple[str, ...]:
    return *(with_interval(row[name]) for name in ("before", "after", "change")), p_value(row["p"])


def _agreed(row: dict[str, Any]) -> tuple[str, str, str]:
    promised = "" if row["promised"] is None else f"{row['promised']:.4f}"
    return str(row["accuracy"]["n"]), with_interval(row["accuracy"]), promised


def _range(row: dict[str, Any]) -> str:
    return f"{row['lo']:g} and more" if row["hi"] is None else f"{row['lo']:g} to {row['hi']:g}"
