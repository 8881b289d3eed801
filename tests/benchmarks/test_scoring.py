"""The scoring benchmark runs from end to end, over rivals with equal scores."""

import json

import pytest

from benchmarks import measure, scoring
from benchmarks.scoring import Scoring, main


@pytest.mark.slow(reason="makes tiny networks and runs every task twice")
def test_every_task_is_measured_at_equal_scores(tmp_path, monkeypatch, capsys):
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    monkeypatch.setattr(scoring, "WIDTHS", (16, 8))
    main(Scoring(files=4, seconds=0.4, heads=2, rounds=1, workers=0, tiny=True))
    result = json.loads((tmp_path / "benchmarks/results/scoring_tiny.json").read_text())
    assert {name: row["files"] for name, row in result["tasks"].items()} == {
        "one head": 4,
        "both prompts": 4,
        "repeated": 16,
        "heads": 4,
    }
    for row in result["tasks"].values():
        assert row["ratio"] == row["upstream"]["median"] / row["ours"]["median"]
        assert 0 <= row["largest_difference"] <= scoring.TOLERANCE
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert str(tmp_path) not in json.dumps(result)


def test_rivals_with_other_scores_are_refused(monkeypatch):
    class Apart:
        ours = staticmethod(lambda: [0.0, 1.0])
        upstream = staticmethod(lambda: [0.0, 1.01])

    with pytest.raises(ValueError, match=r"the rivals' scores differ by 0.01.*, at most 0.001 is rounding"):
        scoring._largest_difference(Apart())


@pytest.mark.parametrize("field", ["files", "heads", "rounds"])
def test_nothing_to_measure_is_refused(field):
    with pytest.raises(ValueError, match="expected files, heads and rounds >= 1"):
        Scoring(**{field: 0})
