"""Families by name, and stacks rebuilt from what was recorded."""

import copy
import json
from typing import Any

import pytest

from feature_export.audio import SignalPath
from feature_export.encoders import (
    FAMILIES,
    AudioEncoder,
    Compute,
    Family,
    TextEncoder,
    load_stack,
    stack_from_provenance,
)

PATH = SignalPath(train16k=True, seed=5)


def recorded() -> dict[str, Any]:
    """Provenance as a checkpoint gives it back: through JSON, keys sorted."""
    return json.loads(json.dumps(load_stack(["mel"], PATH).provenance(), sort_keys=True))


WITHOUT_WEIGHTS = ("mel",)


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_a_family_makes_what_it_says(name: str) -> None:
    family = FAMILIES[name]
    audio, text = family.make(PATH, Compute())
    assert tuple(encoder.block.name for encoder in (*audio, *text)) == family.blocks
    assert all(isinstance(encoder, AudioEncoder) for encoder in audio)
    assert all(isinstance(encoder, TextEncoder) for encoder in text)
    for encoder in (*audio, *text):
        provenance = encoder.provenance()
        assert json.loads(json.dumps(provenance)) == provenance
        assert {"encoder", "revision", "pooling", "dtype"} <= set(provenance)
        assert encoder.revision == provenance["revision"]
        assert encoder.description


def test_a_block_belongs_to_one_family_a_backend() -> None:
    blocks = [(block, family.backend) for family in FAMILIES.values() for block in family.blocks]
    assert len(set(blocks)) == len(blocks)


def test_load_stack() -> None:
    stack = load_stack(["mel"], PATH)
    assert stack.layout.names == ("mel_baseline", "ngram_baseline")
    assert stack.path == PATH
    assert stack.device == "cpu"


@pytest.mark.parametrize(
    ("families", "message"),
    [
        (["mell"], r"encoders: got 'mell', accepted are 'mel', 'clap', .* \(did you mean 'mel'\?\)"),
        ([], r"encoders: expected at least one of \['mel', 'clap', .*\], each once, got \[\]"),
        (["mel", "mel"], r"each once, got \['mel', 'mel'\]"),
    ],
)
def test_families_that_are_none(families: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_stack(families, SignalPath())


def test_rebuilds_the_same_stack() -> None:
    stack = stack_from_provenance(recorded())
    assert stack == load_stack(["mel"], PATH, Compute.best())
    assert stack.provenance() == recorded()


@pytest.mark.parametrize("block", ["mel_baseline", "ngram_baseline"])
def test_rebuilds_only_what_was_recorded(block: str) -> None:
    stack = stack_from_provenance({block: recorded()[block]})
    assert stack.layout.names == (block,)
    assert stack.path == (PATH if block == "mel_baseline" else SignalPath())


def test_families_that_are_not_needed_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: SignalPath, compute: Compute) -> Any:
        raise AssertionError("made")

    monkeypatch.setitem(FAMILIES, "clap", Family(("clap_audio", "clap_text"), refuse))
    assert stack_from_provenance(recorded()) == load_stack(["mel"], PATH)


def test_lists_every_difference() -> None:
    other = recorded()
    other["mel_baseline"] |= {"revision": "0", "mood": "blue"}
    del other["ngram_baseline"]["pooling"]
    with pytest.raises(ValueError, match="this version would make other features") as caught:
        stack_from_provenance(other)
    message = str(caught.value)
    assert "mel_baseline.revision: recorded '0', this version makes '1'" in message
    assert "mel_baseline.mood: recorded 'blue', this version makes '(nothing)'" in message
    assert "ngram_baseline.pooling: recorded '(nothing)', this version makes 'signed counts" in message
    assert message.count("recorded") == 3


def edited(block: str, path: dict[str, Any]) -> dict[str, Any]:
    other = copy.deepcopy(recorded())
    other[block]["signal_path"] = path
    return other


@pytest.mark.parametrize(
    ("provenance", "message"),
    [
        ({}, "a layout needs at least one block"),
        ({"signal": {}}, "a layout needs at least one block"),
        (
            {"mert2": {"encoder": "mert"}},
            r"block: got 'mert2', accepted are 'mel_baseline', .*'signal' \(did you mean 'mert'",
        ),
        ({"mert": {"backend": "jukebox"}}, r"mert.backend: got 'jukebox', accepted are 'native'"),
        (edited("mel_baseline", {"reverb": True}), "signal_path: got 'reverb', accepted are 'crop', 'train16k'"),
        (edited("mel_baseline", {"crop": "edge"}), "crop: got 'edge', accepted are 'middle'"),
        (edited("mel_baseline", {"train16k": True}), "mel_baseline.signal_path: recorded {'train16k': True}, this"),
        (edited("ngram_baseline", {"crop": "first"}), "signal_path: blocks of one stack share one, got"),
    ],
)
def test_records_that_cannot_be_rebuilt(provenance: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stack_from_provenance(provenance)


def test_file_facts_are_compared_too() -> None:
    other = recorded()
    other["signal"]["revision"] = "0"
    with pytest.raises(ValueError, match=r"signal\.revision: recorded '0'"):
        stack_from_provenance(other)
