"""`tunejury score` over many files: every kind of input, both outputs, shards, a cache, kills and bounded memory."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_factory import write_clips
from random_heads import random_checkpoint

from feature_export import encoders
from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from feature_export.encoders.mel import MelBaseline
from tunejury_jax.cli import main
from tunejury_jax.percentiles import Distribution, Percentiles
from tunejury_jax.scorer import Scorer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    return save_head(tmp_path_factory.mktemp("checkpoint") / "head")


def save_head(folder, seed=0, **changed):
    stack = load_stack(["mel"], SignalPath())
    provenance = {name: stack.provenance()[name] | changed for name in stack.layout.names}
    random_checkpoint(provenance, stack.layout.names, seed=seed).save(folder)
    return folder


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    root = tmp_path_factory.mktemp("music")
    write_clips(root, 70)
    return root


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tunejury", "score", *map(str, arguments), "--workers", "0"])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


def rows(path):
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_folder_becomes_rows_in_order(run, head, music, tmp_path, suffix):
    out = tmp_path / f"scores{suffix}"
    status, printed, err = run(music, "--checkpoint", head, "--prompt", "calm", "--out", out)
    assert status == 0
    assert printed.splitlines()[-2:] == [
        f"Written: {out}; negative rewards are normal",
        "70 scored, 0 failed, 0 other files in folders passed over",
    ]
    assert "score: 70/70 files" in err
    assert "files/s" in err
    found = rows(out)
    assert [row["id"] for row in found] == [f"{number:03}.wav" for number in range(70)]
    scorer = Scorer.from_checkpoint(head)
    for number in (0, 63, 64, 69):
        expected = scorer.predict(music / f"{number:03}.wav", prompt="calm")
        assert float(found[number]["reward"]) == expected.reward
    assert all(row["flags"] in ("short", ["short"]) for row in found)


def test_a_manifest_has_prompts_spans_and_ids_of_its_own(run, head, music, tmp_path):
    manifest, out = music / "clips.jsonl", tmp_path / "scores.jsonl"
    lines = [{"path": "003.wav", "prompt": "loud", "start_s": 0.1, "end_s": 0.2, "id": "x"}, {"path": "004.wav"}]
    lines.append({"path": "none.wav"})
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    asked = (manifest, "--checkpoint", head, "--prompt", "calm", "--prompt-protocol", "both", "--out", out)
    try:
        status, printed, _ = run(*asked)
    finally:
        manifest.unlink()
    assert (status, printed.splitlines()[-1][:18]) == (1, "4 scored, 2 failed")
    found = rows(out)
    assert [row["id"] for row in found] == ["x", "x", "004.wav", "004.wav", "none.wav", "none.wav"]
    assert [row["prompt_protocol"] for row in found] == ["with", "empty"] * 3
    assert [row["prompt"] for row in found] == ["loud", "", "calm", "", "calm", ""]
    assert [row["error"] for row in found] == [None] * 4 + ["no such file"] * 2
    assert (found[0]["start_s"], found[0]["end_s"], found[2]["start_s"]) == (0.1, 0.2, None)
    samples, rate_hz = soundfile.read(music / "003.wav", dtype="float32", always_2d=True)
    part = samples[round(0.1 * rate_hz) : round(0.2 * rate_hz)].T
    scorer = Scorer.from_checkpoint(head)
    assert found[0]["reward"] == scorer.score(np.ascontiguousarray(part), rate_hz, "loud")
    assert found[3]["reward"] == scorer.score(music / "004.wav")


def test_shards_together_are_the_whole(run, head, music, tmp_path):
    run(music, "--checkpoint", head, "--out", tmp_path / "whole.jsonl")
    for number in range(3):
        assert run(music, "--checkpoint", head, "--shard", f"{number}/3", "--out", tmp_path / f"{number}.jsonl")[0] == 0
    shards = [rows(tmp_path / f"{number}.jsonl") for number in range(3)]
    whole = rows(tmp_path / "whole.jsonl")
    assert [len(shard) for shard in shards] == [24, 23, 23]
    assert [shards[number % 3][number // 3] for number in range(70)] == whole


def test_a_list_on_standard_input_and_a_pattern(run, head, music, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{music / '001.wav'}\n{music}/00[2-4].wav\n"))
    status, out, _ = run("-", "--checkpoint", head)
    assert (status, out.splitlines()[-1][:8]) == (0, "4 scored")


def test_the_first_failure_ends_a_run_that_is_to_fail_fast(run, head, music, tmp_path):
    out, inputs = tmp_path / "scores.jsonl", (music / "001.wav", music / "none.wav", music / "002.wav")
    status, printed, _ = run(*inputs, "--checkpoint", head, "--out", out, "--fail-fast")
    assert status == 1
    assert f"Stopped at {music / 'none.wav'}: no such file" in printed
    assert [row["id"] for row in rows(out)] == ["001.wav", "none.wav"]
    status, printed, _ = run(*inputs, "--checkpoint", head, "--out", out)
    assert [row["id"] for row in rows(out)] == ["001.wav", "none.wav", "002.wav"]
    assert "2 rows were in" in printed


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_run_cut_anywhere_goes_on_to_the_same_bytes(run, head, music, tmp_path, suffix):
    out = tmp_path / f"scores{suffix}"
    asked = (music, "--checkpoint", head, "--prompt-protocol", "both", "--prompt", "calm", "--out", out)
    run(*asked)
    whole = out.read_bytes()
    for at in (0, 3, len(whole) // 3, len(whole) - 200, len(whole)):
        out.write_bytes(whole[:at])
        assert run(*asked)[0] == 0
        assert out.read_bytes() == whole


def test_only_the_chunk_that_was_cut_is_heard_again(run, head, music, tmp_path, monkeypatch):
    out, heard = tmp_path / "scores.jsonl", []
    run(music, "--checkpoint", head, "--out", out)
    lines = out.read_bytes().splitlines(keepends=True)
    embed = MelBaseline.embed
    monkeypatch.setattr(MelBaseline, "embed", lambda self, wave: heard.append(wave) or embed(self, wave))
    out.write_bytes(b"".join(lines[:66]))
    run(music, "--checkpoint", head, "--out", out)
    assert (len(heard), out.read_bytes()) == (6, b"".join(lines))
    run(music, "--checkpoint", head, "--out", out)
    assert len(heard) == 6


def test_a_file_of_another_head_is_left_alone(run, head, music, tmp_path):
    out = tmp_path / "scores.csv"
    run(music, "--checkpoint", head, "--out", out)
    before = out.read_bytes()
    status, _, err = run(music, "--checkpoint", save_head(tmp_path / "other", seed=1), "--out", out)
    assert status == 2
    assert "is not of this run but of other inputs, prompts or another head; name a new file" in err
    assert out.read_bytes() == before


def test_a_second_head_takes_everything_from_the_cache(run, head, music, tmp_path, monkeypatch):
    cached = ("--cache", tmp_path / "cache")
    run(music, "--checkpoint", head, *cached, "--out", tmp_path / "first.jsonl")
    other = save_head(tmp_path / "other", seed=1)
    run(music, "--checkpoint", other, "--out", tmp_path / "plain.jsonl")
    monkeypatch.setattr(MelBaseline, "embed", lambda self, wave: pytest.fail("was encoded again"))
    assert run(music, "--checkpoint", other, *cached, "--out", tmp_path / "second.jsonl")[0] == 0
    assert rows(tmp_path / "second.jsonl") == rows(tmp_path / "plain.jsonl")


def test_percentiles_are_told(run, head, music, tmp_path):
    table = Percentiles({"x": Distribution.of_scores(np.linspace(-3, 3, 101))})
    table.save(tmp_path / "table.json")
    asked = (music / "001.wav", "--checkpoint", head, "--percentiles", tmp_path / "table.json")
    _, out, _ = run(*asked)
    expected = table.of(Scorer.from_checkpoint(head).score(music / "001.wav"))
    (line,) = [line for line in out.splitlines() if "001.wav" in line]
    assert f" {expected:.1f} " in line
    run(*asked, "--out", tmp_path / "scores.jsonl")
    assert rows(tmp_path / "scores.jsonl")[0]["percentile"] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{music}/none.jsonl",), "none.jsonl: no such file, expected a manifest"),
        (("{music}", "--shard", "2/2"), "shard: got '2/2', expected i/n"),
        (("{music}", "--out", "{tmp}/scores.txt"), "out: suffix: got '.txt', accepted are '.csv', '.jsonl'"),
        (("{music}", "--memory-mib", "0"), "memory_bytes: got 0, expected more than 0"),
        (("{music}", "--percentiles", "{tmp}/bad.json"), "bad.json: "),
        (("{tmp}/broken.jsonl",), "broken.jsonl:1: not JSON"),
        (("{tmp}/empty",), "empty holds no audio, accepted are .aac, "),
        (("{music}", "--device", "gpu"), "device: got 'gpu', accepted are 'cpu', 'cuda'"),
        (("{music}", "--device", "cuda:99", "--out", "{tmp}/new.csv"), "device: got 'cuda:99', this machine has"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_scored(run, head, music, tmp_path, arguments, message):
    for name in ("bad.json", "broken.jsonl"):
        (tmp_path / name).write_text("{")
    (tmp_path / "empty").mkdir()
    given = [argument.format(music=music, tmp=tmp_path) for argument in arguments]
    status, out, err = run(*given, "--checkpoint", head)
    assert (status, out) == (2, "")
    assert message in err
    assert not (tmp_path / "new.csv").exists()


@pytest.mark.parametrize(("asked", "device"), [((), None), (("--device", "cpu"), "cpu")])
def test_the_encoders_run_where_it_says(run, head, music, monkeypatch, asked, device):
    asked_for = []
    make = encoders.stack_from_provenance
    monkeypatch.setattr(encoders, "stack_from_provenance", lambda *given: asked_for.append(given[1]) or make(*given))
    assert run(music / "001.wav", "--checkpoint", head, *asked)[0] == 0
    assert asked_for == [device]  # None is the GPU where there is one: feature_export/encoders/compute.py


def test_a_checkpoint_of_other_encoders_is_refused(run, music, tmp_path):
    other = save_head(tmp_path / "other", revision="99")
    status, out, err = run(music, "--checkpoint", other)
    assert (status, out) == (2, "")
    assert "provenance: this version would make other features: " in err
    assert "revision: recorded '99', this version makes '1'" in err


def test_help_and_output_say_that_negative_is_normal(run, head, music, capsys):
    assert "negative is normal" in run(music / "001.wav", "--checkpoint", head)[1].replace("\n", " ")
    assert "negative is normal" in " ".join(run("--help")[1].replace("│", " ").split())


def start(*arguments):
    command = [sys.executable, "-m", "tunejury_jax.cli", "score", *map(str, arguments), "--workers", "0"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow(reason="starts the command three times, over 400 files")
def test_a_killed_run_goes_on_to_the_bytes_of_one_that_was_not(head, tmp_path):
    names = write_clips(tmp_path / "music", 400, seconds=0.1)
    out = tmp_path / "scores.jsonl"
    asked = (tmp_path / "music", "--checkpoint", head, "--out", out, "--cache", tmp_path / "cache")
    killed = start(*asked)
    while killed.poll() is None and (not out.exists() or out.stat().st_size < 1000):
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert 0 < len(out.read_bytes().splitlines()) < 400
    again = start(*asked)
    assert again.communicate()[0].splitlines()[0].endswith("before")
    plain = tmp_path / "plain.jsonl"
    start(*asked[:4], plain).communicate()
    assert out.read_bytes() == plain.read_bytes()
    assert [row["id"] for row in rows(out)] == names


PEAKS = """
import resource, sys
from pathlib import Path
from tunejury_jax.score_files import AudioFile, score_files
from tunejury_jax.scorer import Scorer

scorer, paths = Scorer.from_checkpoint(sys.argv[1]), sorted(Path(sys.argv[2]).iterdir())
peaks = []
for count in map(int, sys.argv[3:]):
    files = [AudioFile(str(number), paths[number % len(paths)]) for number in range(count)]
    assert sum(row.reward is not None for row in score_files(scorer, files)) == count
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(*peaks)
"""


@pytest.mark.slow(reason="scores 10,200 files")
def test_memory_does_not_grow_with_the_files(head, tmp_path):
    write_clips(tmp_path / "music", 130, seconds=0.05)
    command = [sys.executable, "-c", PEAKS, str(head), str(tmp_path / "music"), "200", "10000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    small, large = map(float, done.stdout.split())
    assert large - small < 24  # MiB; the samples alone of 9,800 files would be 30, their features 25 more
