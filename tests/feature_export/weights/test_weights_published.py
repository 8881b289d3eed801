"""What is published: well formed, in the agreed layout, and of the blocks that the families fill."""

import re

import pytest

from feature_export.encoders.registry import FAMILIES
from feature_export.weights.published import PUBLICATIONS, publication, publication_of_block
from tunejury_jax.blocks import BLOCKS

BASELINES = {"mel_baseline", "ngram_baseline"}


def test_every_digest_and_commit_is_whole() -> None:
    for each in PUBLICATIONS.values():
        for repository, file in each:
            assert re.fullmatch("[0-9a-f]{40}", repository.revision)
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert re.fullmatch(r"[\w.-]+/[\w.-]+", repository.id)
            assert file.size > 0


def test_no_two_files_share_a_place() -> None:
    for each in PUBLICATIONS.values():
        places = [repository.place(file.name) for repository, file in each]
        assert len(set(places)) == len(places)


def test_families_and_publications_fill_the_same_blocks() -> None:
    for name, each in PUBLICATIONS.items():
        assert FAMILIES[name].blocks == each.blocks
    filled = {block for each in PUBLICATIONS.values() for block in each.blocks}
    assert filled == {block.name for block in BLOCKS} - BASELINES


def test_blocks_have_their_publication() -> None:
    assert publication_of_block("muq_text") is PUBLICATIONS["muq"]
    assert publication_of_block("mel_baseline") is None


@pytest.mark.parametrize(("name", "commercial"), [("clap", True), ("mert", False), ("muq", False)])
def test_non_commercial_licences(name: str, commercial: bool) -> None:
    assert publication(name).commercial is commercial


def test_the_layout_is_the_agreed_one() -> None:
    assert [repository.place(file.name) for repository, file in PUBLICATIONS["clap"]] == [
        "music_audioset_epoch_15_esc_90.14.pt",
        "roberta-base/vocab.json",
        "roberta-base/merges.txt",
    ]
    assert PUBLICATIONS["mert"].weights == "MERT-v1-330M"
