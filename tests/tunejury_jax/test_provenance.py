"""Assumed provenance: what was assumed is compared, the rest is open, and nothing else changes."""

import pytest
from random_heads import random_checkpoint

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack, stack_from_provenance
from tunejury_jax.blocks import Layout
from tunejury_jax.provenance import assume, comparable, is_assumed

MEL = Layout.of(["mel_baseline", "ngram_baseline"])
NATIVE = {"crop": "middle", "train16k": False, "int16": False, "seed": 0}


def test_only_clip_blocks_have_a_signal_path():
    found = assume(MEL, NATIVE)
    assert found["mel_baseline"] == {
        "encoder": "mel_baseline", "assumed": True, "dtype": "float32", "signal_path": NATIVE
    }  # fmt: skip
    assert found["ngram_baseline"] == {"encoder": "ngram_baseline", "assumed": True, "dtype": "float32"}


def test_a_known_provenance_is_compared_as_a_whole():
    made = {"encoder": "toy", "revision": "2", "extra": 1}
    assert comparable(made, {"encoder": "toy", "revision": "1"}) is made
    assert not is_assumed(made)
    assert not is_assumed({"assumed": "yes"})


@pytest.mark.parametrize("train16k", [False, True])
def test_an_assumed_provenance_makes_its_stack_and_accepts_it(train16k):
    encoders = assume(MEL, NATIVE | {"train16k": train16k})
    stack = stack_from_provenance(encoders)
    assert stack.path == SignalPath(train16k=train16k)
    random_checkpoint(encoders, MEL.names).require_encoders(stack.provenance(), "stack")


def test_what_was_assumed_is_compared():
    head = random_checkpoint(assume(MEL, NATIVE), MEL.names)
    other = load_stack(["mel"], SignalPath(train16k=True)).provenance()
    with pytest.raises(ValueError, match=r"store: block 'mel_baseline' .*: signal_path\.train16k: True, not False"):
        head.require_encoders(other, "store")
    changed = load_stack(["mel"], SignalPath()).provenance()
    changed["ngram_baseline"]["dtype"] = "bfloat16 autocast"
    with pytest.raises(ValueError, match="dtype: 'bfloat16 autocast', not 'float32'"):
        head.require_encoders(changed, "store")


def test_a_field_that_was_assumed_may_not_be_missing():
    head = random_checkpoint(assume(MEL, NATIVE), MEL.names)
    made = load_stack(["mel"], SignalPath()).provenance()
    del made["mel_baseline"]["signal_path"]
    with pytest.raises(ValueError, match=r"signal_path: '\(nothing\)', not"):
        head.require_encoders(made, "store")


def test_the_card_says_what_was_assumed(tmp_path):
    random_checkpoint(assume(MEL, NATIVE), MEL.names).save(tmp_path / "head")
    random_checkpoint(blocks=MEL.names).save(tmp_path / "other")
    said = "Imported from a file that does not say what made its features."
    assert said in (tmp_path / "head" / "README.md").read_text()
    assert said not in (tmp_path / "other" / "README.md").read_text()
