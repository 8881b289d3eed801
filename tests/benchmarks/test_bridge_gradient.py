"""The benchmark of the bridge compares the same work, and writes what it measured."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import bridge_gradient, measure
from benchmarks.bridge_gradient import Bridge, main


def test_every_batch_is_measured_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    main(Bridge(batches=(1, 3), rounds=2, widths=(4, 3)))
    found = json.loads((tmp_path / "benchmarks" / "results" / "bridge_gradient.json").read_text())
    assert found["unit"] == "ms a call"
    assert found["batches"].keys() == {"1", "3"}
    for row in found["batches"].values():
        for work in ("forward", "forward_backward"):
            times = row[work]
            assert times["ratio"] == pytest.approx(times["bridge"]["median"] / times["torch"]["median"])
            assert 0 < times["torch"]["best"] <= times["torch"]["low"] <= times["torch"]["median"]
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_the_rivals_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(heads: dict[str, bridge_gradient.Reward], batch: int, dim: int, rounds: int) -> dict[str, bool]:
        x = torch.randn(batch, dim, generator=torch.Generator().manual_seed(1))
        return {"same": torch.allclose(heads["torch"](x), heads["bridge"](x), atol=1e-5)}

    monkeypatch.setattr(bridge_gradient, "_of_batch", compare)
    assert bridge_gradient.measure_bridge(Bridge(batches=(5,), widths=(4, 3)))["batches"] == {"5": {"same": True}}
