"""Weights whose licence nobody accepted are not used by the commands, however they came into their folder."""

import json
from pathlib import Path

import pytest
from audio_factory import write_clips
from tiny_weights import mert
from tiny_weights.licences import accept_all

from feature_export.__main__ import Encode, Export, Plan

REFUSED = 'licence: MERT-v1-330M is published under CC-BY-NC-4.0.*tunejury encoders fetch mert --accept "I accept CC'


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path / "weights"))
    mert.write(tmp_path / "weights/mert")
    a, b = write_clips(tmp_path / "audio", 2)
    pair = {"id": "1", "source": "s", "audio_a": a, "audio_b": b, "label": "a", "split": "train"}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(pair) + "\n")
    return path


def test_exporting_is_refused_until_the_licence_is_accepted(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    with pytest.raises(ValueError, match=REFUSED):
        Export(pairs=pairs, out=str(out), encoders=("mert",), audio_root=tmp_path / "audio").run()
    assert not out.exists()
    accept_all()
    Plan(pairs=pairs, out=str(out), encoders=("mert",)).run()


def test_encoding_a_planned_store_is_refused_elsewhere(pairs: Path, tmp_path: Path) -> None:
    accept_all()
    Plan(pairs=pairs, out=str(tmp_path / "store"), encoders=("mert",)).run()
    (tmp_path / "weights/licences.json").unlink()
    with pytest.raises(ValueError, match=REFUSED):
        Encode(store=str(tmp_path / "store"), audio_root=tmp_path / "audio").run()


def test_the_baseline_needs_no_licence(pairs: Path, tmp_path: Path) -> None:
    Plan(pairs=pairs, out=str(tmp_path / "store"), encoders=("mel",)).run()
