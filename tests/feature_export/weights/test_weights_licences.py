"""Non-commercial licences are accepted in words, once, and asked for again when they change."""

import json
from pathlib import Path

import pytest
from published_factory import published

from feature_export.weights import licences
from feature_export.weights.licences import accept, accepted, require_accepted, sentence
from feature_export.weights.published import PUBLICATIONS

MERT = PUBLICATIONS["mert"]
WORDS = "I accept CC-BY-NC-4.0 for MERT-v1-330M"


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def test_acceptance_is_recorded_with_its_date(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(licences, "_today", lambda: "2026-11-23")
    assert sentence(MERT) == WORDS
    assert not accepted(MERT)
    accept(MERT, f'  "{WORDS}."\n')
    assert accepted(MERT)
    recorded = json.loads((root / "licences.json").read_text())
    assert recorded == {"mert": {"sentence": WORDS, "date": "2026-11-23"}}
    assert not accepted(PUBLICATIONS["muq"])
    accept(PUBLICATIONS["muq"], "I accept CC-BY-NC-4.0 for MuQ-MuLan-large")
    assert accepted(MERT)


@pytest.mark.parametrize("said", ["", "yes", "y", WORDS.lower(), WORDS.replace("MERT", "MuQ"), f"{WORDS} not"])
def test_other_words_do_not_count(said: str) -> None:
    with pytest.raises(ValueError, match=f"accept: got .* expected the words '{WORDS}'"):
        accept(MERT, said)
    assert not accepted(MERT)


def test_a_licence_that_changed_is_asked_for_again() -> None:
    accept(published("CC-BY-NC-4.0"), "I accept CC-BY-NC-4.0 for Net-330M")
    assert accepted(published("CC-BY-NC-4.0"))
    assert not accepted(MERT)  # of the same name, other weights


def test_weights_are_used_only_when_accepted() -> None:
    require_accepted(["mel_baseline", "clap_audio", "clap_text", "signal"])
    command = f'tunejury encoders fetch mert --accept "{WORDS}"'
    with pytest.raises(ValueError, match=f"licence: MERT-v1-330M .*CC-BY-NC-4.0, for non-commercial .*: {command}$"):
        require_accepted(["clap_audio", "mert"])
    accept(MERT, WORDS)
    require_accepted(["clap_audio", "mert"])


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_record_is_refused(root: Path, text: str) -> None:
    root.mkdir()
    (root / "licences.json").write_text(text)
    with pytest.raises(ValueError, match=r"licences\.json"):
        require_accepted(["mert"])


def test_a_record_of_another_form_is_no_acceptance(root: Path) -> None:
    root.mkdir()
    (root / "licences.json").write_text('{"mert": true}')
    assert not accepted(MERT)
