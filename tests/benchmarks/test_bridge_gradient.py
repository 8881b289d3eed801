"""The benchmark of the bridge compares the same work, and writes what it measured."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from closeness import assert_close

from benchmarks import bridge_gradient, measure
from benchmarks.bridge_gradient import Bridge, main


def test_every_batch_is_measured_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    monkeypatch.setattr(bridge_gradient, "CLIP_S", 1)
    main(Bridge(batches=(1, 3), rounds=2, widths=(4, 3), encoder_rounds=1, tiny=True))
    found = json.loads((tmp_path / "benchmarks" / "results" / "bridge_gradient_tiny.json").read_text())
    assert found["unit"] == "ms a call"
    assert found["batches"].keys() == {"1", "3"}
    for row in found["batches"].values():
        for work in ("forward", "forward_backward"):
            times = row[work]
            assert times["ratio"] == pytest.approx(times["bridge"]["median"] / times["torch"]["median"])
            assert 0 < times["torch"]["best"] <= times["torch"]["low"] <= times["torch"]["median"]
        crossing = row["forward_backward"]["bridge"]["median"] - row["forward_backward"]["torch"]["median"]
        assert row["crossing_of_encoder"] == pytest.approx(crossing / found["encoder"]["median"])
    assert found["encoder"]["median"] > 0
    assert len(capsys.readouterr().out.splitlines()) == 8


def test_the_rivals_do_the_same() -> None:
    heads = bridge_gradient._heads((4, 3))
    x = torch.randn(5, 2048, generator=torch.Generator().manual_seed(1)).requires_grad_()
    scores = {name: head(x) for name, head in heads.items()}
    gradients = {name: torch.autograd.grad(found.sum(), x)[0] for name, found in scores.items()}
    assert_close(scores["bridge"].detach(), scores["torch"].detach(), 1e-5)
    assert_close(gradients["bridge"], gradients["torch"], 1e-6)


def test_the_encoder_is_passed_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pass gives a gradient to every sample of the clip."""
    passes: list[Callable[[], Any]] = []
    monkeypatch.setattr(bridge_gradient, "CLIP_S", 1)
    monkeypatch.setattr(bridge_gradient, "alternate", lambda rivals, rounds: passes.extend(rivals.values()) or rivals)
    bridge_gradient._encoder(Bridge(tiny=True))
    ((gradient,),) = (run() for run in passes)
    assert gradient.shape == (1, 24_000)
    assert (gradient != 0).float().mean() > 0.99
