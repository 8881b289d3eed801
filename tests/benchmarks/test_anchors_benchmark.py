"""The benchmark of anchors: other battles are not taken for the published ones."""

import json
from pathlib import Path
from typing import Any

import pytest
from drawn_battles import drawn

from benchmarks import anchors
from tunejury_jax.calibration.increment import KS


def test_writes_gains_and_says_that_counts_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    battles, saved = drawn(520, systems=4), dict[str, Any]()
    rows = zip(battles.ids, battles.system_a, battles.system_b, battles.margin, battles.a_won, strict=True)
    lines = [f"{name},{'A' if won else 'B'},s{a},s{b},{margin},0" for name, a, b, margin, won in rows]
    (tmp_path / "b.csv").write_text("\n".join(["battle_id,preference,system_a,system_b,tj_a,tj_b", *lines]))
    (tmp_path / "u.json").write_text(json.dumps({"new_uuids": list(battles.ids)}))
    monkeypatch.setattr(anchors, "METHODS", ("published", "scale"))
    monkeypatch.setattr(anchors, "save", lambda name, document: saved.update(document) or tmp_path / name)
    anchors.main(anchors.AnchorMethods(tmp_path / "b.csv", tmp_path / "u.json", seeds=2))
    assert (saved["universe"], saved["published_counts_reproduced"]) == (520, False)
    assert list(saved["methods"]) == ["published", "scale"]
    assert [row["k"] for row in saved["gain_over_published"]["scale"]] == list(KS)
    assert "NOT reproduced" in capsys.readouterr().out


def test_one_seed_has_no_interval_and_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seeds: got 1"):
        anchors.AnchorMethods(tmp_path, tmp_path, seeds=1)
