"""`tunejury expert-iteration` as it is used: what it writes, prints and refuses, and that it goes on."""

import json
import re
import shlex
from pathlib import Path
from typing import Annotated

import pytest
import tyro
from audio_factory import write_clips
from random_ensembles import random_ensemble
from random_heads import random_checkpoint
from toy_learner import ToyLearner

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax.applications import clip_embeddings
from tunejury_jax.applications.generators import registry
from tunejury_jax.cli.expert_iteration import ExpertIteration
from tunejury_jax.evaluation import estimates

ROOT = Path(__file__).parents[2]
COMMAND = "tunejury expert-iteration --prompts prompts.txt --generator tangoflux --checkpoint my-head --out out"
QUICK = f"{COMMAND} --workers 0 --duration-s 0.1 --iterations 20 --batch-size 4 --average 0.5 --keep 0.3"


@pytest.fixture(autouse=True)
def few_redraws(monkeypatch):
    monkeypatch.setattr(estimates, "REDRAWS", 10)


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Checkpoints whose encoders need no weights: a head and an ensemble."""
    folder, stack = tmp_path_factory.mktemp("heads"), load_stack(["mel"], SignalPath())
    encoders = {name: stack.provenance()[name] for name in stack.layout.names}
    random_checkpoint(encoders, stack.layout.names).save(folder / "head")
    random_ensemble(3, encoders=encoders, blocks=stack.layout.names).save(folder / "ensemble")
    return folder


def mel_alone(name, compute, load=clip_embeddings._load):
    """Imports no transformers, which takes seconds, to find that there are no weights."""
    if name != "mel":
        raise ValueError(f"no weights of {name}")
    return load(name, compute)


@pytest.fixture
def loaded(monkeypatch):
    """Names and recipes of the generators that were loaded, which are all toys."""
    asked = []

    def load(name, recipe, **options):
        asked.append((name, recipe, {key: value for key, value in options.items() if value and key != "compute"}))
        return ToyLearner()

    monkeypatch.setattr(registry, "load_generator", load)
    return asked


@pytest.fixture
def run(tmp_path, heads, loaded, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clip_embeddings, "_load", mel_alone)
    (tmp_path / "prompts.txt").write_text("calm piano\nfast drums\na choir\n")
    prompts = [{"prompt_id": number, "prompt": f"prompt {number}"} for number in range(4)]
    (tmp_path / "sdd100.json").write_text(json.dumps(prompts))
    (tmp_path / "my-head").symlink_to(heads / "head")
    (tmp_path / "my-ensemble").symlink_to(heads / "ensemble")

    def run(line):
        arguments = shlex.split(line.removeprefix("tunejury expert-iteration "))
        status = tyro.cli(Annotated[ExpertIteration, tyro.conf.OmitSubcommandPrefixes], args=arguments).run()
        return status, capsys.readouterr().out

    return run


def test_it_sweeps_judges_reports_and_goes_on(run, tmp_path, loaded):
    options = (
        "--learning-rates 0.1 0.01 --candidates 4 --recipe paper --steps 3 --checkpoint my-ensemble --conservative 1"
    )
    write_clips(tmp_path / "real", 3)
    measured = f"{QUICK} {options} --reference real --embedding mel"
    status, printed = run(measured)
    assert status == 0
    assert loaded == [("tangoflux", "paper", {"steps": 3})]
    document = json.loads((tmp_path / "out/rounds.json").read_text())
    branches = [("published", 0), ("lr-0.1", 1), ("lr-0.01", 1)]
    assert [(row["branch"], row["round"]) for row in document["rows"]] == branches
    assert {"fad", "fad_change", "mad_change", "mpcd", "gain", "improved"} <= document["rows"][1].keys()
    assert document["not_computed"] == {"clap_score": "no weights of clap"}
    assert "clap_score: not computed: no weights of clap" in printed
    plan = json.loads((tmp_path / "out/plan.json").read_text())
    assert (plan["conservative"], plan["selection"]["keep"], plan["tuning"]["iterations"]) == (1, 0.3, 20)
    assert (tmp_path / "out/frontier.png").exists()
    assert "lr-0.01, round 1" in (tmp_path / "out/listening.html").read_text()
    before = (tmp_path / "out/rounds.csv").read_bytes()
    assert run(measured) == (0, printed)
    assert (tmp_path / "out/rounds.csv").read_bytes() == before


def test_clips_that_fail_are_counted_and_nothing_is_learnt_from_them(run, tmp_path):
    line = f"{QUICK} --learning-rates 0.1"
    run(line)
    (tmp_path / "out/candidates/0_c0.wav").write_bytes(b"not a sound")
    for made in ("candidates.csv", "rounds.json"):
        (tmp_path / "out" / made).unlink()
    status, printed = run(line)
    assert status == 1
    assert "1 clips failed and are not selected, such as out/candidates/0_c0.wav" in printed
    assert "0_c0" not in (tmp_path / "out/lr-0.1/round-1/selected.csv").read_text()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            COMMAND.replace("tangoflux", "audioldm2-music"),
            "generator to fine-tune: got 'audioldm2-music', acc",
        ),
        (COMMAND.replace("tangoflux", "worker:none.json"), r"none\.json is not there"),
        (COMMAND.replace("tangoflux", "worker:none.json --steps 3"), "steps: a worker has its own"),
        (f"{COMMAND} --learning-rates 0", r"learning_rate: got 0\.0"),
        (f"{COMMAND} --average 1", r"average: got 1\.0"),
        (f"{COMMAND} --keep 0", r"keep: got 0\.0"),
        (f"{COMMAND} --rounds 0", "rounds: got 0"),
        (f"{COMMAND} --reference nowhere", "reference: there is no nowhere"),
        (f"{COMMAND} --conservative 1", r"conservative: got 1\.0, but the checkpoint has one member"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_made(run, tmp_path, line, reason):
    with pytest.raises(ValueError, match=reason):
        run(line)
    assert not list(tmp_path.rglob("*_c0.wav"))


def test_the_commands_of_the_manual_and_the_readme(run):
    """Cut to what they do at once: one iteration, short clips."""
    pages = "\n".join((ROOT / page).read_text() for page in ("docs/expert-iteration.md", "README.md"))
    commands = [line for line in re.findall(r"^tunejury expert-iteration .*", pages, re.M) if "worker:" not in line]
    assert len(commands) == 4
    for line in commands:
        short = line.replace("--threshold 0.5", "--threshold -100")
        status, _ = run(f"{short} --workers 0 --duration-s 0.1 --iterations 1 --learning-rates 0.1 --candidates 2")
        assert status == 0
