"""`tunejury convert` as a user runs it: what it writes, says and refuses."""

import sys

import numpy as np
import pytest
import torch
from random_ensembles import random_ensemble
from random_heads import random_checkpoint
from torch_twin import Twin

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax import extras
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.cli import main
from tunejury_jax.scorer import Scorer

RATE_HZ = 16_000
BLOCKS = ("--blocks", "mel_baseline", "ngram_baseline")


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tunejury", "convert", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def mel():
    return load_stack(["mel"], SignalPath())


@pytest.fixture
def head(tmp_path, mel):
    """A checkpoint that can score audio, in a folder."""
    provenance = {name: mel.provenance()[name] for name in mel.layout.names}
    random_checkpoint(provenance, mel.layout.names).save(tmp_path / "head")
    return tmp_path / "head"


@pytest.fixture
def published(tmp_path):
    """A file with the input of the published head, and few hidden units."""
    torch.manual_seed(0)
    torch.save(Twin(2048, (5, 3)).unsettle(1).state_dict(), tmp_path / "published.pt")
    return tmp_path / "published.pt"


def tone():
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.float32)


@pytest.mark.parametrize("encoders", [("--signal-path", "native"), ("--encoders-from", "{head}")])
def test_a_head_scores_audio_alike_after_a_detour_through_a_published_file(run, tmp_path, head, encoders):
    assert run(head, tmp_path / "head.pt") == (0, f"Written: {tmp_path / 'head.pt'}\n", "")
    options = [option.format(head=head) for option in encoders]
    assert run(tmp_path / "head.pt", tmp_path / "back", *BLOCKS, *options)[0] == 0
    scores = [Scorer.from_checkpoint(folder).score(tone(), RATE_HZ, "calm") for folder in (head, tmp_path / "back")]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("path", "train16k", "said"),
    [
        ("upstream", True, "audio through 16 kHz, as upstream"),
        ("native", False, "audio straight to the encoders' rates"),
    ],
)
def test_what_is_assumed_is_recorded_and_said(run, tmp_path, published, path, train16k, said):
    status, out, _ = run(published, tmp_path / "head", "--signal-path", path)
    found = Checkpoint.load(tmp_path / "head")
    lines = out.splitlines()
    assert status == 0
    assert lines[0].startswith(f"Features: assumed, the file does not say: {said}")
    digest = found.sha256[:12]
    assert lines[1] == f"Written: {tmp_path / 'head'} ({digest}, blocks clap_audio, mert, clap_text)"
    assert found.encoders["clap_audio"]["signal_path"]["train16k"] is train16k
    for block in ("mert", "clap_text"):  # the switches do not concern these
        assert found.encoders[block] == {"encoder": block, "assumed": True, "dtype": "float32"}


def test_nothing_is_assumed_unasked(run, tmp_path, published):
    status, _, err = run(published, tmp_path / "head")
    assert status == 2
    assert "does not say what made the features it was trained on; choose --signal-path upstream" in err
    assert not (tmp_path / "head").exists()


def test_upstreams_mistakes_with_muq_are_not_repeated(run, tmp_path):
    torch.save(
        {name.replace("net.", "score."): value for name, value in Twin(1024, (5, 3)).state_dict().items()},
        tmp_path / "muq.pt",
    )
    status, _, err = run(tmp_path / "muq.pt", tmp_path / "head", "--signal-path", "upstream")
    assert (status, "accepted is 'native'" in err) == (2, True)
    assert run(tmp_path / "muq.pt", tmp_path / "head", "--signal-path", "native")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{published}", "{head}", "--signal-path", "native"), "exists already; name a new folder"),
        (("{head}", "{folder}/new"), "a checkpoint folder is converted to a .pt file"),
        (("{head}", "{folder}/new.pt", "--blocks", "mert"), "blocks: got ('mert',), which a checkpoint folder says"),
        (("{head}", "{folder}/new.pt", "--signal-path", "native"), "signal_path: got 'native', which a checkpoint"),
        (("{folder}/none.pt", "{folder}/new"), "none.pt: no such file"),
        (("{folder}", "{folder}/new.pt"), "config.json: missing; expected a checkpoint folder"),
        (
            ("{published}", "{folder}/new", "--encoders-from", "{head}", "--signal-path", "native"),
            "signal_path: got 'native', which --encoders-from says itself",
        ),
        (("{published}", "{folder}/new", "--encoders-from", "{head}"), "has no block clap_audio, clap_text, mert"),
    ],
)
def test_what_makes_no_sense_is_refused(run, tmp_path, head, published, arguments, message):
    places = {"published": published, "head": head, "folder": tmp_path}
    status, out, err = run(*(argument.format(**places) for argument in arguments))
    assert (status, out) == (2, "")
    assert message in err
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "new.pt").exists()


def test_an_ensemble_is_no_published_head(run, tmp_path):
    random_ensemble(2).save(tmp_path / "ensemble")
    status, _, err = run(tmp_path / "ensemble", tmp_path / "head.pt")
    assert status == 2
    assert "a .pt file holds one head, the checkpoint has 2 members; python -m trainers.export --format torch" in err


def test_without_torch_the_advice_is_to_install_it(run, tmp_path, head, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    status, _, err = run(head, tmp_path / "head.pt")
    assert status == 2
    assert "converting heads needs the export extra, torch is missing: pip install 'tunejury-jax[export]'" in err
