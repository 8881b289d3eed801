"""The scoring benchmark runs from end to end, over rivals with equal scores."""

import json

import numpy as np
import pytest
import soundfile
import torch
from audio_factory import noise
from closeness import assert_close
from tiny_weights import clap, mert
from torch_twin import Twin

from benchmarks import measure, scoring
from benchmarks.scoring import Scoring, main
from benchmarks.upstream_scoring import UpstreamScorer
from feature_export.audio import SignalPath
from feature_export.encoders import load_stack


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


@pytest.mark.parametrize("prompt", ["calm piano music", ""])
def test_the_published_way_comes_to_the_same_score(tmp_path, monkeypatch, prompt):
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path))
    clap.write(tmp_path / "clap")
    mert.write(tmp_path / "mert")
    soundfile.write(tmp_path / "clip.wav", noise(1.5, 0, channels=2), 44_100)
    stack = load_stack(["clap", "mert"], SignalPath())
    twin = Twin(stack.layout.dim, (16, 8)).unsettle(0).eval()
    blocks = stack.embed(tmp_path / "clip.wav", prompt=prompt)
    features = np.concatenate([blocks[name] for name in stack.layout.names])
    expected = twin(torch.from_numpy(features)[None])[0].item()
    assert_close(np.float32(UpstreamScorer(stack, twin).score(tmp_path / "clip.wav", prompt)), expected)


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


def test_a_clip_that_upstream_would_crop_at_random_is_refused():
    with pytest.raises(ValueError, match=r"seconds: got 10.5, expected more than 0 and at most 10"):
        Scoring(seconds=10.5)
