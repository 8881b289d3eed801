"""The commands: what they print and write, what they refuse, and that asking for help loads nothing heavy."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_results import bench_rows, predicted
from published_labels import sound
from random_heads import random_checkpoint

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax.calibration.columns import Columns
from tunejury_jax.cli.evaluate_cmi import EvaluateCmi
from tunejury_jax.cli.evaluate_sanity import EvaluateSanity
from tunejury_jax.cli.evaluate_tables import EvaluateDecomposition, EvaluateMos, EvaluateProbe, EvaluateSystems
from tunejury_jax.evaluation import estimates, regressor
from tunejury_jax.evaluation import systems as systems_module


@pytest.fixture(autouse=True)
def few_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "REDRAWS", 10)
    monkeypatch.setattr(systems_module, "REDRAWS", 10)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def written_sound(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sound(seed, 0.5))
    return path


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """A checkpoint whose encoders need no weights."""
    stack = load_stack(["mel"], SignalPath())
    provenance = {name: stack.provenance()[name] for name in stack.layout.names}
    random_checkpoint(provenance, stack.layout.names).save(tmp_path / "head")
    return tmp_path / "head"


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    return written(path, "".join(json.dumps(row) + "\n" for row in rows))


def test_cmi_writes_json_csv_and_a_table_with_the_rivals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = jsonl(tmp_path / "results.jsonl", [predicted(row) for row in bench_rows(12)])
    assert EvaluateCmi(results=results, out=tmp_path / "out").run() == 0
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    srcc = document["summary"]["PAM"]["musicality"]["srcc"]
    assert set(srcc) == {"value", "low", "high", "n", "interval"}
    table = (tmp_path / "out" / "metrics.md").read_text()
    assert f"| ours | {srcc['value']:.4f} ({srcc['low']:.4f} to {srcc['high']:.4f}) |" in table
    assert "| CMI-RM | 0.6606 | 0.8266 | 0.7343 | 0.7820 |" in table
    header, first, *_ = (tmp_path / "out" / "metrics.csv").read_text().splitlines()
    assert header == "dataset,axis,group,value,metric,estimate,low,high,n,interval"
    assert first.startswith("PAM,musicality,,,srcc,")
    assert "CMI-RM" in capsys.readouterr().out


def test_cmi_runs_a_checkpoint(head: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = bench_rows(3)
    for seed, (row, name) in enumerate((row, name) for row in rows for name in ("audio-path", "audio2") if name in row):
        written_sound(tmp_path / row[name], seed)
    data = jsonl(tmp_path / "all_test.jsonl", rows)
    command = EvaluateCmi(checkpoint=head, data=data, out=tmp_path / "out")
    assert command.run() == 0
    (tmp_path / rows[0]["audio-path"]).unlink()
    assert command.run() == 0  # all rows are done
    assert "rows done before: 12" in capsys.readouterr().out
    again = EvaluateCmi(checkpoint=head, data=data, out=tmp_path / "again", prompt_protocol="empty")
    assert again.run() == 1
    assert "missing audio: 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "results: give --results, or for a run --data and one of"),
        ({"checkpoint": Path("x")}, "results: give --results, or for a run --data and one of"),
        ({"results": Path("r"), "data": Path("d")}, "data: got d, which is for a run"),
    ],
)
def test_cmi_wants_results_or_a_run(tmp_path: Path, given: dict[str, Path], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluateCmi(out=tmp_path, **given).run()


def test_mos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = written(tmp_path / "clips.csv", "id,reward,mos\na,1,3\nb,2,2\nc,3,5\nd,3,4\n")
    assert EvaluateMos(table, tmp_path / "mos.json", "id", "reward", "mos").run() == 0
    document = json.loads((tmp_path / "mos.json").read_text())
    assert document["pairwise_accuracy"]["value"] == (4 + 0.5) / 6
    assert "pairwise_accuracy" in capsys.readouterr().out


def test_systems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["1,A,sun,moon,2,1", "2,B,moon,sun,0,1", "3,TIE,sun,moon,1,1", "4,BOTH_BAD,sun,moon,0,0"]
    table = written(tmp_path / "votes.csv", "n,preference,system_a,system_b,tj_a,tj_b\n" + "\n".join(rows) + "\n")
    assert EvaluateSystems(table, tmp_path / "systems.json", columns=Columns(id="n")).run() == 0
    document = json.loads((tmp_path / "systems.json").read_text())
    assert [row["system"] for row in document["systems"]] == ["sun", "moon"]
    assert document["systems"][0]["win_rate"]["value"] == pytest.approx(2.5 / 3)
    assert "both bad (left out): 1" in capsys.readouterr().out


def test_probe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{n % 7},{'ab'[n % 2]},{n}\n" for n in range(40)) + "9,alone,3\n"
    table = written(tmp_path / "scores.csv", "score,kind,plays\n" + rows)
    assert EvaluateProbe(table, group="kind", out=tmp_path / "groups.json").run() == 0
    assert len(json.loads((tmp_path / "groups.json").read_text())["pairs"]) == 1
    assert "not compared: alone" in capsys.readouterr().out
    assert EvaluateProbe(table, number="plays", out=tmp_path / "plays.json").run() == 0
    assert len(json.loads((tmp_path / "plays.json").read_text())["deciles"]) == 10
    with pytest.raises(ValueError, match="group, number: expected one of them, got None and None"):
        EvaluateProbe(table).run()


def test_sanity(head: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = [written_sound(tmp_path / "clips" / f"{seed}.wav", seed) for seed in range(3)]
    assert EvaluateSanity((tmp_path / "clips",), head, tmp_path / "out", clips=2).run() == 0
    document = json.loads((tmp_path / "out" / "sanity.json").read_text())
    assert document["clips"] == [clip.name for clip in clips[:2]]
    assert set(document["fits"]) == {"snr", "clipping", "segment", "reversal"}
    assert len(document["snr"]["rungs"]) == 6
    assert (tmp_path / "out" / "sanity.png").stat().st_size > 1000
    assert "as expected" in capsys.readouterr().out
    for inputs, count, message in (
        ((), 1, "inputs: expected"),
        ((tmp_path / "clips",), 0, "clips: expected at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            EvaluateSanity(inputs, head, tmp_path / "out", clips=count).run()


def test_decomposition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(regressor, "HIDDEN", 4)
    monkeypatch.setattr(regressor, "EPOCHS", 3)
    values = np.random.default_rng(0).normal(size=(60, 4)).round(3).tolist()
    rows = "".join(f"{'PAM' if n % 2 else 'MusicEval'},{','.join(map(str, row))}\n" for n, row in enumerate(values))
    table = written(tmp_path / "clips.csv", "dataset,musicality,alignment,score,score_empty\n" + rows)
    np.save(tmp_path / "features.npy", np.array(values, np.float32))
    out = tmp_path / "decomposition.json"
    assert EvaluateDecomposition(table, out).run() == 0
    assert set(json.loads(out.read_text())) == {"post_hoc"}
    assert EvaluateDecomposition(table, out, tmp_path / "features.npy", seeds=2, scaling_seeds=1).run() == 0
    document = json.loads(out.read_text())
    assert set(document["cross_distribution"]) == {"PAM to MusicEval", "MusicEval to PAM"}
    assert [row["fraction"] for row in document["scaling"]] == [0.05, 0.1, 0.25, 0.5, 0.75, 1.0]
    assert "Trained on 80 %" in capsys.readouterr().out


def test_importing_the_commands_loads_nothing_heavy() -> None:
    heavy = {"jax", "torch", "scipy", "matplotlib", "pyarrow", "numpy"}
    code = f"import sys, tunejury_jax.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
