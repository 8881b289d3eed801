"""Running the benchmark: its rows, resumption after a kill, missing audio; and the adapter for its own runner."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jaxtyping
import numpy as np
import pytest
from drawn_results import bench_rows
from published_labels import sound
from random_heads import random_checkpoint

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax.evaluation import estimates
from tunejury_jax.evaluation.cmi_adapter import CMIAdapter
from tunejury_jax.evaluation.cmi_report import report
from tunejury_jax.evaluation.cmi_results import read_results
from tunejury_jax.evaluation.cmi_run import run_benchmark, two_scores
from tunejury_jax.evaluation.prompted import PromptedScorer
from tunejury_jax.scorer import Scorer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Every file that the rows name, empty."""
    for row in bench_rows(4):
        for field in ("audio-path", "audio2"):
            if field in row:
                path = tmp_path / "data" / row[field]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    return tmp_path / "data"


def by_name(path: Path, prompt: str) -> float:
    """A score that depends on the file and the prompt."""
    return float(sum(map(ord, path.name)) % 97) / 10 + len(prompt)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("protocol", "longer"), [("with", len("prompt 1")), ("empty", 0)])
def test_writes_what_the_benchmarks_code_writes(root: Path, tmp_path: Path, protocol: Any, longer: int) -> None:
    out, rows = tmp_path / "results.jsonl", bench_rows(4)
    counts = run_benchmark(rows, root, by_name, out, protocol)
    assert counts == {"rows": 16, "rows done before": 0}
    found = lines(out)
    assert [{name: line[name] for name in row} for line, row in zip(found, rows, strict=True)] == rows
    pam, musiceval, arena, pref = found[1], found[4], found[8], found[12]
    assert pam["predicted_musicality"] == by_name(Path("1.wav"), "") + longer
    assert pam["predicted_text-music alignment"] == len("prompt 1")
    assert musiceval["predicted_text-music alignment"] == 0
    assert "predicted_preference" not in pam
    assert arena["benchmark_dataset"] == "MusicArena"
    better = arena["predicted_musicality"] > arena["predicted_musicality_b"]
    assert arena["predicted_preference"] == ("model_a" if better else "model_b")
    assert pref["predicted_preference-alignment"] == "model_b"  # equal, which counts for b
    assert (pref["inference_valid_a"], pref["inference_valid_b"], pref["inference_error"]) == (True, True, "")


def test_its_results_can_be_judged(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "REDRAWS", 5)
    run_benchmark(bench_rows(4), root, by_name, tmp_path / "results.jsonl")
    assert set(report(read_results(tmp_path / "results.jsonl"))["summary"]) == {
        *("PAM", "MusicEval", "Music Arena", "CMI-Pref"),
    }


def test_missing_audio_and_failures_are_rows_with_errors(root: Path, tmp_path: Path) -> None:
    rows = bench_rows(4)
    (root / rows[0]["audio-path"]).unlink()
    (root / rows[8]["audio2"]).unlink()

    def failing(path: Path, prompt: str) -> float:
        if path.name == "1.wav":
            raise ValueError("no audio in it")
        return by_name(path, prompt)

    counts = run_benchmark(rows, root, failing, tmp_path / "out.jsonl")
    assert counts == {"rows": 16, "rows done before": 0, "missing audio": 2, "failed clips": 2}
    found = lines(tmp_path / "out.jsonl")
    assert found[0]["predicted_musicality"] is None
    assert (found[0]["inference_valid_a"], found[1]["inference_error"]) == (False, "error:no audio in it")
    assert found[0]["inference_error"].startswith("audio_not_found:")
    assert (found[8]["inference_valid_a"], found[8]["inference_valid_b"]) == (True, False)
    assert "predicted_preference" not in found[8]


def test_other_splits_and_sources_are_counted(root: Path, tmp_path: Path) -> None:
    rows = [*bench_rows(4), bench_rows(4)[0] | {"split": "train"}, {"source": "?", "split": "test"}]
    counts = run_benchmark(rows, root, by_name, tmp_path / "out.jsonl")
    assert counts == {"rows": 16, "rows done before": 0, "rows of another split": 1, "rows of unknown source '?'": 1}


@pytest.mark.parametrize("kept_bytes", [0, 1, 700, 3000])
def test_goes_on_after_half_a_line(root: Path, tmp_path: Path, kept_bytes: int) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    run_benchmark(bench_rows(4), root, by_name, whole)
    run_benchmark(bench_rows(4), root, by_name, cut)
    cut.write_bytes(whole.read_bytes()[:kept_bytes])
    done = run_benchmark(bench_rows(4), root, by_name, cut)["rows done before"]
    assert done == whole.read_bytes()[:kept_bytes].count(b"\n")
    assert cut.read_bytes() == whole.read_bytes()
    assert run_benchmark(bench_rows(4), root, by_name, cut)["rows done before"] == 16


def test_goes_on_after_a_kill(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    code = f"""
        import os, signal, sys
        from pathlib import Path
        sys.path[:0] = {sys.path!r}
        from drawn_results import bench_rows
        from tunejury_jax.evaluation.cmi_run import run_benchmark
        calls = []
        def score(path, prompt):
            calls.append(path)
            if len(calls) == 12:
                os.kill(os.getpid(), signal.SIGKILL)
            return float(sum(map(ord, path.name)) % 97) / 10 + len(prompt)
        run_benchmark(bench_rows(4), Path({str(root)!r}), score, Path({str(out)!r}))
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL
    before = lines(out)
    assert 0 < len(before) < 16
    assert run_benchmark(bench_rows(4), root, by_name, out)["rows done before"] == len(before)
    run_benchmark(bench_rows(4), root, by_name, tmp_path / "whole.jsonl")
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_does_not_go_on_with_other_rows_or_settings(root: Path, tmp_path: Path) -> None:
    out, rows = tmp_path / "results.jsonl", bench_rows(4)
    run_benchmark(rows, root, by_name, out, settings={"checkpoint": "one"})
    with pytest.raises(ValueError, match=r"begun with .*'one'.*, now .*'two'"):
        run_benchmark(rows, root, by_name, out, settings={"checkpoint": "two"})
    with pytest.raises(ValueError, match=r"begun with .*'with'.*, now .*'empty'"):
        run_benchmark(rows, root, by_name, out, "empty", settings={"checkpoint": "one"})
    with pytest.raises(ValueError, match="line 1 is not of row 1"):
        run_benchmark(rows[::-1], root, by_name, out, settings={"checkpoint": "one"})
    with pytest.raises(ValueError, match="line 4 is not of row 4"):
        run_benchmark(rows[:3], root, by_name, out, settings={"checkpoint": "one"})
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text("{}\n")
    with pytest.raises(ValueError, match=r"exists without foreign\.jsonl\.settings\.json"):
        run_benchmark(rows, root, by_name, foreign)


def test_scores_of_the_protocols() -> None:
    score = {"a tune": 3.0, "": 1.0, " ": 1.0}.__getitem__
    assert two_scores(score, "a tune", "with") == (2.0, 3.0)
    assert two_scores(score, "a tune", "empty") == (2.0, 1.0)
    assert two_scores(score, " ", "with") == (0.0, 1.0)


@pytest.fixture(scope="module")
def stack() -> Any:
    return load_stack(["mel"], SignalPath())


@pytest.fixture
def checkpoint(stack: Any, tmp_path: Path) -> Path:
    provenance = {name: stack.provenance()[name] for name in stack.layout.names}
    random_checkpoint(provenance, stack.layout.names).save(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_a_clip_is_heard_once_and_scores_as_the_scorer_does(stack: Any, checkpoint: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "0.wav", tmp_path / "1.wav"]
    for seed, path in enumerate(paths):
        path.write_bytes(sound(seed, 1.0))
    heard = []
    counting = SimpleNamespace(
        provenance=stack.provenance, embed=lambda *given: heard.append(given) or stack.embed(*given)
    )
    plain = Scorer.from_checkpoint(checkpoint, stack)
    prompted = PromptedScorer(Scorer.from_checkpoint(checkpoint, counting))
    for path in paths:
        for prompt in ("a slow waltz", "", "a slow waltz", " "):
            assert prompted(path, prompt) == plain.score(path, prompt=prompt)
    assert len(heard) == 2
    assert prompted(paths[1], "another") == plain.score(paths[1], prompt="another")


def test_the_adapter_is_what_the_runner_expects(checkpoint: Path, tmp_path: Path, stack: Any) -> None:
    path = tmp_path / "clip.wav"
    path.write_bytes(sound(0, 1.0))
    samples = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    adapter = CMIAdapter(checkpoint=str(checkpoint), device="cpu", sr=24_000)
    inputs = [SimpleNamespace(audio=str(path), text="a waltz", lyrics="", ref_audio=None)]
    inputs.append(SimpleNamespace(audio=samples, text="", lyrics="", ref_audio=None))
    found = adapter.score_batch(inputs=inputs, batch_size=2, max_dur=30.0)
    scorer = Scorer.from_checkpoint(checkpoint, stack)
    with_prompt, without = scorer.score(path, prompt="a waltz"), scorer.score(path)
    assert adapter.sr == 24_000
    assert found.tolist() == [[with_prompt - without, with_prompt], [0.0, scorer.score(samples, 24_000)]]
    empty = CMIAdapter(checkpoint, "cpu", 24_000, "empty", stack)
    assert empty.score_batch(inputs)[0].tolist() == [with_prompt - without, without]
    assert empty.score_batch([]).shape == (0, 2)
    with pytest.raises(ValueError, match=r"score_batch: got \['flag'\], accepted are no further options"):
        adapter.score_batch(inputs, 1, 1.0, flag=True)


def test_unknown_protocols_are_refused(
    checkpoint: Path, tmp_path: Path, stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    unknown: Any = "none"
    with pytest.raises(ValueError, match="prompt_protocol: got 'none', accepted are 'with', 'empty'"):
        CMIAdapter(checkpoint, prompt_protocol=unknown, stack=stack)
    with pytest.raises(ValueError, match="protocol: got 'none'"):
        run_benchmark([], tmp_path, by_name, tmp_path / "out.jsonl", unknown)
