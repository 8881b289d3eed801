"""The `tunejury` command, as a user runs it: what it prints, writes and exits with."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from random_ensembles import random_ensemble
from random_heads import random_checkpoint

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.cli import main
from tunejury_jax.scorer import Scorer

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    stack = load_stack(["mel"], SignalPath())
    provenance = {name: stack.provenance()[name] for name in stack.layout.names}
    folder = tmp_path_factory.mktemp("checkpoint") / "head"
    random_checkpoint(provenance, stack.layout.names).save(folder)
    return folder


@pytest.fixture(scope="module")
def combined(tmp_path_factory):
    stack = load_stack(["mel"], SignalPath())
    provenance = {name: stack.provenance()[name] for name in stack.layout.names}
    folder = tmp_path_factory.mktemp("checkpoint") / "ensemble"
    random_ensemble(3, encoders=provenance, blocks=stack.layout.names).save(folder)
    return folder


def write_tone(path, hz):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hz * np.arange(RATE_HZ) / RATE_HZ), RATE_HZ)
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tunejury", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_table_of_rewards(run, head, tmp_path):
    low, high = write_tone(tmp_path / "low.wav", 110), write_tone(tmp_path / "high.wav", 880)
    status, out, _ = run("score", low, high, "--checkpoint", head, "--prompt", "calm")
    assert status == 0
    scorer = Scorer.from_checkpoint(head)
    for path in (low, high):
        (line,) = [line for line in out.splitlines() if path.name in line]
        assert f"{scorer.score(path, prompt='calm'):+.4f}" in line
    assert out.splitlines()[-1] == "2 scored, 0 failed, 0 other files in folders passed over"
    assert "prompt 'calm'" in " ".join(out.split())


def test_a_bad_file_fails_the_command_but_not_the_others(run, head, tmp_path):
    write_tone(tmp_path / "music" / "deep" / "good.wav", 220)
    (tmp_path / "music" / "bad.wav").write_text("not audio")
    (tmp_path / "music" / "notes.txt").touch()
    out_file = tmp_path / "rows.jsonl"
    inputs = (tmp_path / "music", tmp_path / "none.wav")
    status, out, _ = run("score", *inputs, "--checkpoint", head, "--out", out_file)
    assert status == 1
    assert out.splitlines()[-1] == "1 scored, 2 failed, 1 other files in folders passed over"
    bad, good, none = rows(out_file)
    assert [row["id"] for row in (bad, good, none)] == ["bad.wav", "deep/good.wav", "none.wav"]
    assert bad["reward"] is None
    assert (bad["path"], bad["error"]) == (
        str(tmp_path / "music" / "bad.wav"),
        "Invalid data found when processing input",
    )
    assert none["error"] == "no such file"
    assert good["error"] is None
    assert good["reward"] == Scorer.from_checkpoint(head).score(good["path"])
    assert {row["checkpoint"] for row in (bad, good, none)} == {Checkpoint.load(head).sha256}


@pytest.mark.parametrize(("conservative", "title"), [(0.0, "mean of 3 heads"), (1.5, "mean - 1.5 std of 3 heads")])
def test_an_ensemble_tells_its_deviation_and_can_be_cautious(run, combined, tmp_path, conservative, title):
    tone, rows_file = write_tone(tmp_path / "tone.wav", 220), tmp_path / "rows.jsonl"
    asked = ("score", tone, tmp_path / "none.wav", "--checkpoint", combined, "--conservative", conservative)
    status, out, _ = run(*asked)
    assert status == 1
    assert title in " ".join(out.split())
    predicted = Scorer.from_checkpoint(combined, conservative=conservative).predict(tone)
    (line,) = [line for line in out.splitlines() if "tone.wav" in line]
    assert re.findall(r"[-+]?\d+\.\d{4}", line) == [f"{predicted.reward:+.4f}", f"{predicted.std:.4f}"]
    assert run(*asked, "--out", rows_file)[0] == 1
    good, bad = rows(rows_file)
    assert (good["reward"], good["std"], good["conservative"]) == (predicted.reward, predicted.std, conservative)
    assert (bad["reward"], bad["std"], bad["conservative"]) == (None, None, conservative)


def test_a_single_head_has_neither_a_deviation_nor_caution(run, head, tmp_path):
    tone, rows_file = write_tone(tmp_path / "tone.wav", 220), tmp_path / "rows.jsonl"
    status, out, _ = run("score", tone, "--checkpoint", head)
    assert (status, "std" in out) == (0, False)
    run("score", tone, "--checkpoint", head, "--out", rows_file)
    assert rows(rows_file)[0]["std"] is None
    status, _, err = run("score", tone, "--checkpoint", head, "--conservative", "1")
    assert status == 2
    assert "conservative: got 1.0, but the checkpoint has one member" in err


def test_names_are_printed_as_they_are(run, head, tmp_path):
    # rich would drop [live], see an error in [/b] and an emoji in :smile:.
    names = ["song [live].wav", "a [/b] c.wav", "x :smile: y.wav"]
    for name in names:
        write_tone(tmp_path / name, 220)
    status, out, _ = run("score", tmp_path, "--checkpoint", head, "--prompt", "[bold] :smile:")
    assert status == 0
    assert all(name in " ".join(out.split()) for name in [*names, "prompt '[bold] :smile:'"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{music}",), "inputs: folder .*music holds no audio, accepted are .aac, "),
        ((), "inputs: expected at least one file, folder, pattern or manifest"),
    ],
)
def test_nothing_to_score_is_refused(run, head, tmp_path, arguments, message):
    (tmp_path / "music").mkdir()
    given = [argument.format(music=tmp_path / "music") for argument in arguments]
    status, out, err = run("score", *given, "--checkpoint", head)
    assert (status, out) == (2, "")
    assert re.search(message, err)


def test_a_folder_that_is_no_checkpoint_is_refused(run, tmp_path):
    tone = write_tone(tmp_path / "tone.wav", 220)
    status, out, err = run("score", tone, "--checkpoint", tmp_path / "none")
    assert (status, out) == (2, "")
    assert err.startswith("tunejury: error: ")
    assert "none/config.json: missing; expected a checkpoint folder" in err


def test_doctor_exits_well_and_names_the_parts(run):
    status, out, _ = run("doctor")
    assert status == 0
    assert all(part in out for part in ("python", "jax backend", "torch backend", "tensorstore", "soundfile"))


@pytest.mark.parametrize("command", [["--help"], ["score", "--help"], ["doctor", "--help"]], ids=" ".join)
def test_help_comes_without_loading_jax_or_torch(command):
    script = "import sys; sys.argv[1:] = sys.argv[1:]; from tunejury_jax.cli import main\n"
    script += "try: main()\nfinally: print(*({'jax', 'torch'} & sys.modules.keys()), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert "usage: tunejury" in done.stdout
