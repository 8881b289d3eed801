"""`tunejury best-of-n` as it is used: what it writes, says and refuses, and that it goes on."""

import csv
import json
import re
import shlex
from pathlib import Path
from typing import Annotated

import pytest
import torch
import tyro
from audio_factory import noise
from random_ensembles import random_ensemble
from random_heads import random_checkpoint
from toy_generator import ToyGenerator

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax.applications import clip_embeddings
from tunejury_jax.applications.candidates import write_wave
from tunejury_jax.applications.generators import registry
from tunejury_jax.cli.best_of_n import BestOfNCommand
from tunejury_jax.evaluation import estimates

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "best-of-n.md").read_text()


@pytest.fixture(autouse=True)
def few_redraws(monkeypatch):
    monkeypatch.setattr(estimates, "REDRAWS", 10)


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Checkpoints whose encoders need no weights: two heads and an ensemble."""
    folder = tmp_path_factory.mktemp("heads")
    stack = load_stack(["mel"], SignalPath())
    made_by = {
        "encoders": {name: stack.provenance()[name] for name in stack.layout.names},
        "blocks": stack.layout.names,
    }
    for seed in (0, 1):
        random_checkpoint(**made_by, seed=seed).save(folder / f"head-{seed}")
    random_ensemble(3, **made_by).save(folder / "ensemble")
    return folder


def mel_alone(name, compute, load=clip_embeddings._load):
    """Imports no transformers, which takes seconds, to find that there are no weights."""
    if name != "mel":
        raise ValueError(f"no weights of {name}")
    return load(name, compute)


@pytest.fixture
def work(tmp_path, heads, monkeypatch):
    """A folder with prompts and candidates, where commands run; `toy` is the only generator."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clip_embeddings, "_load", mel_alone)
    generators = []

    def load(name, recipe, **options):
        generators.append(ToyGenerator(name=name))
        return generators[-1]

    monkeypatch.setattr(registry, "load_generator", load)
    (tmp_path / "prompts.txt").write_text("calm piano\nfast drums\n")
    (tmp_path / "sdd100.json").write_text(json.dumps([{"prompt_id": i, "prompt": f"prompt {i}"} for i in range(2)]))
    (tmp_path / "my-head").symlink_to(heads / "head-0")
    (tmp_path / "other-head").symlink_to(heads / "head-1")
    (tmp_path / "my-ensemble").symlink_to(heads / "ensemble")
    for number in range(8):
        wave = torch.from_numpy(noise(0.3, number).T) * (1 + number)
        (tmp_path / "clips").mkdir(exist_ok=True)
        write_wave(tmp_path / "clips" / f"{number % 2}_c{number // 2}.wav", wave, 16_000)
    return tmp_path


@pytest.fixture
def run(work, capsys):
    def run(line):
        arguments = shlex.split(line.removeprefix("tunejury best-of-n "))
        status = tyro.cli(Annotated[BestOfNCommand, tyro.conf.OmitSubcommandPrefixes], args=arguments).run()
        return status, capsys.readouterr().out

    return run


COMMAND = "tunejury best-of-n --prompts prompts.txt --checkpoint my-head --workers 0 --out out"
READY = f"{COMMAND} --candidates clips --n 1 2 4"
MADE = f"{COMMAND} --generator toy --duration-s 0.2"


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_it_generates_scores_selects_and_goes_on_with_more(run, work):
    status, printed = run(f"{MADE} --n 1 2")
    assert status == 0
    assert "4 candidates generated, 0 were there before" in printed
    assert "4 candidates scored, 0 missing or failed" in printed
    assert "clap_score: not computed: no weights of clap" in printed
    out = work / "out"
    first = (out / "scores.csv").read_bytes()
    assert "2 candidates generated, 4 were there before" in run(f"{MADE} --n 1 3")[1]
    assert (out / "scores.csv").read_bytes().startswith(first)
    rewards = {row["id"]: float(row["reward"]) for row in table(out / "scores.csv")}
    assert set(rewards) == {f"{prompt}_c{number}" for prompt in (0, 1) for number in range(3)}
    for row in table(out / "selected.csv"):
        of_prompt = [rewards[f"{row['prompt_id']}_c{number}"] for number in range(int(row["n"]))]
        assert float(row["reward"]) == max(of_prompt) == of_prompt[int(row["candidate"])]
    document = json.loads((out / "curve.json").read_text())
    assert [row["n"] for row in document["rows"]] == [1, 3]
    assert set(document["rows"][0]["reward"]) == {"value", "low", "high", "n", "interval"}
    assert document["rows"][0]["reward"]["value"] <= document["rows"][1]["reward"]["value"]
    assert document["generator"]["generator"] == "toy"
    assert set(document["not_computed"]) == {"clap_score", "fad", "mad", "mpcd"}
    assert (document["prefix"], document["conservative"]) == ("high quality instrumental music, ", 0)
    assert table(out / "curve.csv")[0]["reward"] == str(document["rows"][0]["reward"]["value"])
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "listening.html").read_text()
    assert page.count("<audio") == 6
    assert 'src="candidates/1_c2.wav"' in page


def test_the_same_command_again_changes_nothing(run, work):
    run(READY)
    names = ("scores.csv", "selected.csv", "curve.csv", "curve.json", "listening.html")
    before = [(work / "out" / name).read_bytes() for name in names]
    run(READY)
    assert [(work / "out" / name).read_bytes() for name in names] == before


def test_candidates_that_are_missing_or_broken_are_counted_and_never_selected(run, work):
    (work / "clips" / "0_c0.wav").unlink()
    (work / "clips" / "1_c1.wav").write_bytes(b"not a sound")
    (work / "clips" / "9_c1.wav").touch()
    status, printed = run(READY)
    assert status == 1
    assert "1 wavs in clips are of none of the prompts and passed over" in printed
    assert "6 candidates scored, 2 missing or failed" in printed
    assert "In no mean, without a reward at the smallest N: prompt 0; 1 in all" in printed
    rows = table(work / "out" / "selected.csv")
    assert rows[0]["error"] == "no candidate with a reward"
    assert {(row["prompt_id"], row["candidate"]) for row in rows}.isdisjoint({("0", "0"), ("1", "1")})
    errors = {row["id"]: row["error"] for row in table(work / "out" / "scores.csv") if row["error"]}
    assert errors["0_c0"] == "no such file"
    assert set(errors) == {"0_c0", "1_c1"}
    document = json.loads((work / "out" / "curve.json").read_text())
    assert (document["prompts_left_out"], document["candidates_failed"]) == (["0"], 2)


def test_a_judge_and_a_reference_set(run, work):
    heads = "--checkpoint my-ensemble --conservative 1 --judge other-head"
    status, printed = run(f"{READY} {heads} --reference clips --embedding mel")
    assert status == 0
    assert "The judge's reward is highest at n = " in printed
    document = json.loads((work / "out" / "over_optimisation.json").read_text())
    assert [row["n"] for row in document["rows"]] == [1, 2, 3, 4]
    curve = json.loads((work / "out" / "curve.json").read_text())
    assert {"reward", "fad", "mpcd"} <= set(curve["rows"][0])
    assert (curve["conservative"], curve["embeddings"]["fad"]) == (1, "mel")
    assert len(table(work / "out" / "over_optimisation.csv")) == 4
    assert 'src="over_optimisation.png"' in (work / "out" / "listening.html").read_text()
    both = [{row["id"] for row in table(work / "out" / name)} for name in ("scores.csv", "judge_scores.csv")]
    assert both[0] == both[1]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (READY.replace("1 2 4", "1 8"), "n: got 8, but no prompt has more than 4 candidates"),
        (READY.replace("1 2 4", "0"), r"n: got \(0,\), expected numbers from 1"),
        (READY.replace("--candidates clips", ""), "generator, candidates: expected one of them"),
        (READY.replace("--candidates clips", "--candidates none"), "candidates: none is no folder"),
        (f"{READY} --judge my-head", "judge: my-head is the head that selects, expected another one"),
        (f"{READY} --reference my-head/none", "reference: there is no my-head/none, expected"),
        (f"{READY} --conservative 1", "conservative: got 1.0, but the checkpoint has one member"),
        (f"{READY} --generator toy", r"clips has wavs but no candidates\.json"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_scored(run, work, line, reason):
    with pytest.raises(ValueError, match=reason):
        run(line)
    assert not (work / "out" / "scores.csv").exists()


def test_another_head_does_not_go_on_in_the_same_folder(run):
    run(READY)
    with pytest.raises(ValueError, match="another head; name a new file"):
        run(f"{READY} --checkpoint other-head")


@pytest.mark.slow(reason="generates the candidates of the published protocol, 10 s each")
def test_the_commands_of_the_manual(run, work):
    (commands,) = re.findall(r"^```\n(tunejury best-of-n .*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    for number, line in enumerate(commands.splitlines()):
        status, _ = run(line.replace("--out best", f"--out best-{number} --workers 0"))
        assert status == 0
