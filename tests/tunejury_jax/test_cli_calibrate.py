"""`tunejury calibrate`, as a user runs it."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from drawn_battles import drawn
from numpy.testing import assert_allclose

from tunejury_jax.calibration.anchors import Anchors
from tunejury_jax.calibration.battles import Battles
from tunejury_jax.calibration.fit import Prior
from tunejury_jax.calibration.ksweep import k_sweep
from tunejury_jax.cli import main

BATTLES = drawn(80, systems=4)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tunejury", "calibrate", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err  # type: ignore[return-value]

    return run


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return written(tmp_path / "battles.csv", BATTLES)


def written(path: Path, battles: Battles) -> Path:
    systems = battles.systems
    rows = ["battle_id,preference,system_a,system_b,tj_a,tj_b"]
    rows += [
        f"{name},{'A' if won else 'B'},{systems[a]},{systems[b]},{margin + 1!r},1.0"
        for name, a, b, margin, won in zip(battles.ids, *map(np.ndarray.tolist, battles[2:]), strict=True)
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_fits_saves_and_shows(run, labels: Path, tmp_path: Path) -> None:
    status, out, _ = run("fit", "--labels", labels, "--out", tmp_path / "a.json", "--pinned", "s1", "--scale")
    expected = Anchors.fit(BATTLES, Prior(1.0, 2.0), "s1")
    assert status == 0
    assert_allclose(Anchors.load(tmp_path / "a.json").beta, expected.beta, atol=1e-9)
    assert f"4 systems from 80 battles, scale {expected.scale:.3f}" in out
    assert f"{expected.offset('s0'):+.3f}" in out


def test_says_that_it_cannot_pin(run, labels: Path, tmp_path: Path) -> None:
    _, out, _ = run("fit", "--labels", labels, "--out", tmp_path / "a.json", "--pinned", "absent")
    assert "note: 'absent' was to be pinned and has no battle: nothing is pinned" in out


def test_applies_and_names_who_was_not_fitted(run, labels: Path, tmp_path: Path) -> None:
    anchors = Anchors.fit(BATTLES.take(np.flatnonzero((BATTLES.system_a < 3) & (BATTLES.system_b < 3))))
    anchors.save(tmp_path / "a.json")
    status, out, _ = run("apply", "--labels", labels, "--anchors", tmp_path / "a.json", "--out", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert status == 0
    assert "['s3']" in out
    assert_allclose([float(row["probability"]) for row in rows], anchors.calibrate(BATTLES).probability, atol=1e-12)
    with_s3 = (BATTLES.system_a == 3) | (BATTLES.system_b == 3)
    assert [row["battle_id"] for row in rows if row["known"] == "false"] == [
        BATTLES.ids[i] for i in np.flatnonzero(with_s3)
    ]


def test_sweeps_and_writes_what_the_protocol_says(run, labels: Path, tmp_path: Path) -> None:
    (tmp_path / "increment.json").write_text(json.dumps({"new_uuids": [*reversed(BATTLES.ids), "elsewhere"]}))
    asked = ("--labels", labels, "--universe", tmp_path / "increment.json", "--ks", "0", "3", "30", "--seeds", "3")
    status, out, _ = run("ksweep", *asked, "--methods", "scale", "--json", tmp_path / "k.json")
    document = json.loads((tmp_path / "k.json").read_text())
    expected = k_sweep(BATTLES, list(reversed(BATTLES.ids)), (0, 3, 30), 3)
    assert status == 0
    assert [row["correct"] for row in document["rows"]] == [row["correct"] for row in expected]
    assert {"k", "correct", "n_test", "mean", "std"} <= document["rows"][0].keys()
    assert document["universe"] == 80
    assert len(document["paired"]["scale"]) == 3
    assert "Δ log loss" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--columns.preference", "winner"), "column: got 'winner', accepted are 'battle_id'"),
        (("--l2", "0"), "l2: got 0.0, accepted are finite numbers above 0"),
    ],
)
def test_refuses_in_one_line(run, labels: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    status, _, err = run("fit", "--labels", labels, "--out", tmp_path / "a.json", *arguments)
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_diagnoses_and_writes_what_it_shows(run, labels: Path, tmp_path: Path) -> None:
    run("fit", "--labels", labels, "--out", tmp_path / "a.json")
    lines = labels.read_text().splitlines()
    months = ["month", *(f"2025-0{1 + row % 2}" for row in range(80))]
    labels.write_text("\n".join(f"{line},{month}" for line, month in zip(lines, months, strict=True)) + "\n")
    given = ("--anchors", tmp_path / "a.json", "--month", "month", "--json", tmp_path / "d.json")
    status, out, _ = run("diagnose", "--labels", labels, *given)
    document = json.loads((tmp_path / "d.json").read_text())
    assert status == 0
    assert list(document) == ["difficulty", "by_margin", "by_system", "swing", "margins", "transfer"]
    right = (BATTLES.margin > 0) == BATTLES.a_won
    assert document["difficulty"]["agreement"]["value"] == pytest.approx(right.mean())
    assert f"{right.mean():.4f}" in out
    assert len(document["transfer"]) == 4


def test_diagnosis_without_anchors_and_months(run, labels: Path, tmp_path: Path) -> None:
    status, _, _ = run("diagnose", "--labels", labels, "--json", tmp_path / "d.json")
    assert status == 0
    assert list(json.loads((tmp_path / "d.json").read_text())) == ["difficulty", "by_margin", "by_system"]


def test_a_month_column_that_is_not_there_is_named(run, labels: Path) -> None:
    status, _, err = run("diagnose", "--labels", labels, "--month", "moon")
    assert status != 0
    assert "moon" in err
