"""`tunejury ditto`, as a user runs it: what it writes, prints and refuses."""

import csv
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
import tyro
from audio_factory import write_clips
from noise_decoder import NoiseDecoder
from random_heads import random_checkpoint

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax.applications.clip_sets import ClipSets
from tunejury_jax.applications.generators import registry
from tunejury_jax.bridge.differentiable import DifferentiableScorer
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.cli.ditto import Ditto
from tunejury_jax.console import command

PROMPTS = [{"prompt_id": 7, "prompt": "calm piano"}, {"prompt_id": 9, "prompt": "loud drums"}]
QUICK = ("--duration-s", 0.25, "--updates", 2)


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    return save_head(tmp_path_factory.mktemp("checkpoint") / "head")


def mel_stack():
    return load_stack(["mel"], SignalPath())


def save_head(folder, **changed):
    stack = mel_stack()
    provenance = {name: stack.provenance()[name] | changed for name in stack.layout.names}
    random_checkpoint(provenance, stack.layout.names).save(folder)
    return folder


@pytest.fixture
def prompts(tmp_path):
    (tmp_path / "prompts.json").write_text(json.dumps(PROMPTS))
    return tmp_path / "prompts.json"


@pytest.fixture
def loaded(monkeypatch):
    """Generators that were asked for, which are all noise decoders; there are no weights of CLAP."""
    asked = []

    def load(name, recipe, **options):
        asked.append((name, recipe, {key: value for key, value in options.items() if value and key != "compute"}))
        return NoiseDecoder(name)

    def captioned(self, inputs):
        raise ValueError("weights: none of CLAP")  # which would be looked for after an import that takes seconds

    monkeypatch.setattr(registry, "load_generator", load)
    monkeypatch.setattr(ClipSets, "captioned", captioned)
    return asked


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["ditto", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            command("tunejury ditto", tyro.conf.OmitSubcommandPrefixes[Ditto], lambda config: config.run())
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


def test_a_paper_preset_brings_its_generator_recipe_and_seeds(run, head, prompts, loaded, tmp_path):
    out = tmp_path / "out"
    asked = ("--prompts", prompts, "--checkpoint", head, "--out", out, "--preset", "paper-tangoflux", *QUICK)
    status, printed, err = run(*asked)
    assert status == 0
    assert loaded == [("tangoflux", "paper", {})]
    assert "optimise: 2/2 prompts" in err
    assert "2 optimised, 0 failed" in printed
    assert "Published: -0.978 to +0.578, 100 of 100 improved" in printed
    assert "Weights of the generator unchanged, bit by bit; peak memory " in printed
    assert f"Written: {out}; listen: {out / 'listening.html'}" in printed
    with (out / "results.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [(row["prompt_id"], row["prompt"], row["seed"]) for row in rows] == [
        ("7", "calm piano", "42"),
        ("9", "loud drums", "142"),
    ]
    assert all(float(row["gain"]) > 0 for row in rows)
    assert "clap_score: not computed: weights: none of CLAP" in printed
    assert "mad: not computed: there is no reference set" in printed
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["n"], summary["preset"], summary["task"]["ascent"]["updates"]) == (2, "paper-tangoflux", 2)
    assert summary["peak_memory_bytes"] > 1 << 20
    written = {path: path.read_bytes() for path in out.rglob("*.wav")}
    assert {path.relative_to(out).as_posix() for path in written} == {
        f"{side}/{own}.wav" for side in ("before", "after") for own in (7, 9)
    }
    assert run(*asked)[0] == 0
    assert {path: path.read_bytes() for path in written} == written


def test_a_reference_adds_its_distance_before_and_after(run, head, prompts, loaded, tmp_path):
    write_clips(tmp_path / "real", 6)
    out, more = tmp_path / "out", {"prompt_id": 11, "prompt": "bells"}
    prompts.write_text(json.dumps([*PROMPTS, more]))
    asked = ("--prompts", prompts, "--checkpoint", head, "--out", out, "--preset", "paper-tangoflux", *QUICK)
    status, printed, _ = run(*asked, "--reference", tmp_path / "real", "--embedding", "mel")
    assert status == 0
    summary = json.loads((out / "summary.json").read_text())
    found = summary["metrics"]["mad"]
    assert summary["mad_from"] == "mel"
    assert (found["before"]["n"], found["before"]["n_reference"]) == (3, 6)
    assert found["change"] == found["after"]["value"] - found["before"]["value"]
    (line,) = [line for line in printed.splitlines() if " mad " in line]
    assert f"{found['change']:+.4f}" in line
    clips = [json.loads(line) for line in (out / "after.jsonl").read_text().splitlines()]
    assert clips[2] == {"path": "after/11.wav", "prompt": "bells"}


def test_own_is_of_any_differentiable_generator_and_seeds_of_the_small_preset_are_one(
    run, head, prompts, loaded, tmp_path
):
    asked = ("--prompts", prompts, "--checkpoint", head, *QUICK)
    assert run(*asked, "--out", tmp_path / "a", "--generator", "audioldm2-music", "--steps", 3, "--limit", 1)[0] == 0
    assert run(*asked, "--out", tmp_path / "b", "--preset", "paper-sao-small")[0] == 0
    assert loaded == [("audioldm2-music", "own", {"steps": 3}), ("stable-audio-open-small", "paper", {})]
    seeds = [json.loads(path.read_text())["seed"] for path in sorted((tmp_path / "b/outcomes").iterdir())]
    assert seeds == [42, 42]
    assert len(list((tmp_path / "a/outcomes").iterdir())) == 1


def test_a_prompt_that_fails_is_told_by_the_exit_status(run, head, prompts, loaded, tmp_path, monkeypatch):
    render = NoiseDecoder.render

    def spoilt(self, noise, prompts, duration_s):
        return render(self, noise, prompts, duration_s) * (float("nan") if "drums" in prompts[0] else 1.0)

    monkeypatch.setattr(NoiseDecoder, "render", spoilt)
    asked = ("--prompts", prompts, "--checkpoint", head, "--out", tmp_path / "out", "--preset", "paper-tangoflux")
    status, printed, _ = run(*asked, *QUICK)
    assert status == 1
    assert "9: failed: iterate 0: samples: the features of clip 0 are not finite" in printed
    assert "1 optimised, 1 failed" in printed


def test_a_prompt_that_does_not_fit_alone_ends_the_run_with_advice(run, head, prompts, loaded, tmp_path, monkeypatch):
    def render(self, noise, prompts, duration_s):
        raise torch.OutOfMemoryError("tried to allocate 3 of 2 GiB")

    monkeypatch.setattr(NoiseDecoder, "render", render)
    asked = ("--prompts", prompts, "--checkpoint", head, "--out", tmp_path / "out", "--preset", "paper-tangoflux")
    status, _, err = run(*asked, *QUICK, "--batch", 2)
    assert status == 2
    assert "memory: a single prompt does not fit; try --recompute" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "paper-tango"), "preset: got 'paper-tango', accepted are 'own', 'paper-sao-small'"),
        (
            ("--preset", "paper-tangoflux", "--generator", "audioldm2-music"),
            "preset: 'paper-tangoflux' is of tangoflux",
        ),
        ((), "generator: got None, accepted are "),
        (("--generator", "musicgen-medium"), "generator: got 'musicgen-medium', accepted are "),
        (("--generator", "tangoflux", "--prompts", "{tmp}/shape.json"), "shape.json: expected a list of objects, got "),
        (("--generator", "tangoflux", "--prompts", "{tmp}/none.json"), "No such file or directory"),
        (("--generator", "tangoflux", "--reference", "{tmp}/none"), "none, expected a folder or a feature store"),
        (("--generator", "tangoflux", "--limit", 0), "limit: got 0, expected at least 1"),
        (("--generator", "tangoflux", "--batch", 0), "batch: got 0, expected at least 1"),
        (("--generator", "tangoflux", "--updates", -1), "updates: got -1, accepted are "),
        (("--generator", "tangoflux", "--conservative", 1), "conservative: got 1.0, but the checkpoint has one member"),
        (("--generator", "tangoflux", "--checkpoint", "{tmp}/other"), "this version would make other features"),
    ],
)
def test_what_cannot_be_done_is_refused_before_a_generator_is_loaded(
    run, head, prompts, loaded, tmp_path, arguments, message
):
    (tmp_path / "shape.json").write_text('{"prompts": []}')
    save_head(tmp_path / "other", revision="99")
    given = [str(argument).format(tmp=tmp_path) for argument in arguments]
    defaults = {"--prompts": prompts, "--checkpoint": head, "--out": tmp_path / "out"}
    asked = [each for name, value in defaults.items() if name not in given for each in (name, value)]
    status, out, err = run(*asked, *given)
    assert (status, out) == (2, "")
    assert message in err
    assert loaded == []


def test_missing_weights_say_how_to_get_them(run, head, prompts, tmp_path):
    asked = ("--prompts", prompts, "--checkpoint", head, "--out", tmp_path / "out", "--weights", tmp_path / "none")
    status, _, err = run(*asked, "--preset", "paper-tangoflux")
    assert status == 2
    assert "hf download declare-lab/TangoFlux" in err


def test_the_commands_and_the_example_of_the_documentation_hold(head):
    page = (Path(__file__).parents[2] / "docs" / "ditto.md").read_text()
    commands = re.findall(r"^tunejury ditto (.*)$", page, re.MULTILINE)
    presets = [tyro.cli(Ditto, args=shlex.split(command)).preset for command in commands]
    assert presets == ["paper-tangoflux", "paper-sao-small", "own"]
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names = {"generator": NoiseDecoder(), "reward": DifferentiableScorer(Checkpoint.load(head), mel_stack())}
    exec(example, names)
    assert names["clip"].shape == (1, 2, 80000)


def test_help_is_there(run):
    status, out, _ = run("--help")
    assert status == 0
    assert "paper-sao-small" in out
