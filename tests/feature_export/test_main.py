"""`python -m feature_export`: the real thing, its help, and its exit statuses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tyro
from audio_factory import clip_pairs, write_clips

from feature_export.__main__ import Command
from tunejury_jax.store import FeatureStore

ROOT = Path(__file__).parents[2]
SOURCE = (
    "--pairs",
    "--out",
    "--encoders",
    "--splits",
    "--block-rows",
    "--dtype",
    "--autocast",
    "--crop",
    "--crop-seed",
)
SWITCHES = ("--train16k", "--int16")
RUNNING = ("--audio-root", "--device", "--workers", "--memory-mib", "--batch-seconds")
OPTIONS = {
    "export": (*SOURCE, *SWITCHES, *RUNNING),
    "plan": (*SOURCE, *SWITCHES),
    "encode": ("--store", "--shard", *RUNNING),
    "seal": ("--store",),
    "verify": ("--store", "--audio-root"),
    "inspect": ("--store",),
    "demo": ("--out", "--songs", "--seed"),
}


def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "feature_export", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def parse(*arguments: str) -> Any:
    return tyro.cli(Command, args=arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "options"), OPTIONS.items())
def test_each_command_has_help(capsys: pytest.CaptureFixture[str], name: str, options: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(name, "--help")
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in options)


def test_help_lists_the_commands_and_needs_no_torch() -> None:
    code = (
        "import runpy, sys; sys.argv = ['feature_export', '--help']\n"
        "try: runpy.run_module('feature_export', run_name='__main__')\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert all(name in done.stdout for name in OPTIONS)
    assert done.stderr == "False\n"


@pytest.mark.parametrize(
    "arguments",
    [(), ("exprt",), ("export",), ("seal", "--stor", "x"), ("demo", "--out", "x", "--songs", "many")],
)
def test_a_wrong_command_line_is_refused(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(*arguments)
    assert left.value.code == 2
    assert capsys.readouterr().err


def test_export_for_real(tmp_path: Path) -> None:
    clip_pairs(write_clips(tmp_path / "audio", 3), tmp_path / "pairs.jsonl")
    arguments = ("--pairs", tmp_path / "pairs.jsonl", "--out", tmp_path / "store", "--audio-root", tmp_path / "audio")
    done = run("export", *arguments)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'store'}\n")
    assert "encode: 6/6 rows, " in done.stderr
    assert "Sealed mel_baseline: 3 rows, 0 failed\n" in done.stderr
    assert FeatureStore.open_sealed(str(tmp_path / "store")).verify()


def test_bad_input_is_one_line_and_status_2(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    good = {"id": "p1", "source": "S", "audio_a": "a.wav", "audio_b": "b.wav", "label": "a"}
    pairs.write_text("\n".join(json.dumps(record) for record in (good, good | {"id": "p2", "label": "left"})))
    done = run("export", "--pairs", pairs, "--out", tmp_path / "store", "--audio-root", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    reason = f"{pairs}, line 2: label: got 'left', accepted are 'a', 'b', 'tie', 'both_bad'"
    assert done.stderr == f"python -m feature_export: error: {reason}\n"
    assert not (tmp_path / "store").exists()


def test_a_missing_store_is_status_2(tmp_path: Path) -> None:
    done = run("inspect", "--store", tmp_path / "none")
    reason = f"{tmp_path / 'none'}: no store.json: not a feature store, or its planning did not finish"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"python -m feature_export: error: {reason}\n"
