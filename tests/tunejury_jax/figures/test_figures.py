"""Figures: what is drawn is what the command wrote."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from drawn_battles import drawn
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

from tunejury_jax.calibration.ksweep import k_sweep
from tunejury_jax.cli import main
from tunejury_jax.evaluation.probe import probe_groups, probe_number
from tunejury_jax.evaluation.systems import rank
from tunejury_jax.evaluation.votes import Votes
from tunejury_jax.figures import ksweep, probe, releases, reliability, systems
from tunejury_jax.metrics import reliability as bins_of
from tunejury_jax.percentiles import Distribution, Percentiles

BATTLES = drawn(120, systems=4)


def through_json(document: Any) -> Any:
    return json.loads(json.dumps(document))


def lines(figure: Figure, panel: int, marker: str = "o") -> list[tuple[np.ndarray, np.ndarray]]:
    """What is drawn with a marker."""
    found = [line for line in figure.axes[panel].lines if line.get_marker() == marker]
    return [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in found]


def test_reliability_has_the_bins() -> None:
    bins = [b._asdict() | {"low": 0.0, "high": 1.0} for b in bins_of(BATTLES.margin, BATTLES.a_won.astype(float), 5)]
    figure = reliability.draw(through_json({"bins": bins}))
    for panel, field in ((0, "confidence"), (1, "mean_margin")):
        ((x, y),) = lines(figure, panel)
        assert_allclose(x, [b[field] for b in bins])
        assert_allclose(y, [b["accuracy"] for b in bins])


def test_ksweep_has_every_method() -> None:
    methods = {name: k_sweep(BATTLES, BATTLES.ids, (0, 5, 50), 3, name) for name in ("published", "scale")}
    figure = ksweep.draw(through_json({"methods": methods}))
    for (_, y), rows in zip(lines(figure, 0), methods.values(), strict=True):
        assert_allclose(y, [100 * row["mean"] for row in rows])
    for (_, y), rows in zip(lines(figure, 1), methods.values(), strict=True):
        assert_allclose(y, [np.mean(row["log_loss"]) for row in rows])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["0", "5", "50"]


def test_systems_are_where_they_stand() -> None:
    points = BATTLES.a_won.astype(float)
    votes = Votes(BATTLES.systems, BATTLES.system_a, BATTLES.system_b, points, BATTLES.margin, np.zeros(120), 0)
    document = through_json(rank(votes))
    drawn_points = [(x[0], y[0]) for x, y in lines(systems.draw(document), 0)]
    expected = [(row["mean_score"]["value"], 100 * row["win_rate"]["value"]) for row in document["systems"]]
    assert_allclose(drawn_points, expected)


def test_groups_have_students_interval() -> None:
    rng = np.random.default_rng(0)
    scores, groups = rng.normal(size=50), np.array(["one", "other"])[rng.integers(2, size=50)]
    names, codes = np.unique(groups, return_inverse=True)
    document = through_json(probe_groups(tuple(names), codes, scores))
    axes = probe.draw(document).axes[0]
    for place, name in enumerate(row["group"] for row in document["groups"]):
        own = scores[groups == name]
        expected = scipy.stats.t.interval(0.95, len(own) - 1, own.mean(), scipy.stats.sem(own))
        (bar,) = [line for line in axes.lines if list(line.get_ydata()) == [place, place]]
        assert_allclose(bar.get_xdata(), expected)


def test_deciles_are_drawn_in_order() -> None:
    rng = np.random.default_rng(0)
    number = rng.normal(size=400)
    document = through_json(probe_number(number + rng.normal(size=400), number))
    assert_allclose([x[0] for x, _ in lines(probe.draw(document), 0)], [row["mean"] for row in document["deciles"]])


def test_releases_show_quantiles(tmp_path: Path) -> None:
    scores = {"low": np.arange(100.0) - 50, "high": np.arange(100.0)}
    Percentiles({name: Distribution.of_scores(values) for name, values in scores.items()}).save(tmp_path / "p.json")
    axes = releases.draw(json.loads((tmp_path / "p.json").read_text())).axes[0]
    assert [label.get_text().split()[0] for label in axes.get_yticklabels()] == ["high", "low"]
    widest = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 1]
    assert_allclose(widest, [np.quantile(scores[name], [0.05, 0.95]) for name in ("high", "low")])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tunejury", "figure", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out + printed.err  # type: ignore[return-value]

    return run


def test_the_command_writes_png_and_pdf(run, tmp_path: Path) -> None:
    rows = k_sweep(BATTLES, BATTLES.ids, (0, 5), 2)
    (tmp_path / "k.json").write_text(json.dumps({"methods": {"published": rows}}))
    status, said = run("ksweep", tmp_path / "k.json", "--out", tmp_path / "new" / "fig.1")
    assert status == 0, said
    assert (tmp_path / "new" / "fig.1.png").read_bytes()[1:4] == b"PNG"
    assert (tmp_path / "new" / "fig.1.pdf").read_bytes()[:5] == b"%PDF-"


@pytest.mark.parametrize("document", ["{}", '{"methods": 3}', '{"methods": {"a": [1]}}', "[]"])
def test_the_json_of_another_command_is_refused(run, tmp_path: Path, document: str) -> None:
    (tmp_path / "k.json").write_text(document)
    status, said = run("ksweep", tmp_path / "k.json", "--out", tmp_path / "f")
    assert status == 2
    assert "k.json" in said
