"""RoBERTa's tokens: those of transformers, of laion-clap, and vocabularies that are refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import RobertaTokenizer

from feature_export.encoders.clap import text as module
from feature_export.encoders.clap.text import MAX_TOKENS, Tokens
from tests.tiny_weights import clap as tiny

GOLDEN = np.load(Path(__file__).parents[3] / "golden" / "clap.npz", allow_pickle=False)
SIZE = len(tiny.vocabulary()[0])
TEXTS = (
    "calm piano music",
    " Hello world ",
    "Hello\n\tworld!!",
    "ÄÖ ß \U0001f3b5 e\u0301",
    "a</s>b <s>",
    "\x00\x7f",
    "",
    "   ",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.write(tmp_path)
    return tmp_path / "roberta-base"


def read(folder: Path, size: int = SIZE) -> Tokens:
    return Tokens.read(folder / "vocab.json", folder / "merges.txt", size)


@pytest.mark.filterwarnings("ignore:Deprecated in 0.9.0")  # how transformers builds its own
@pytest.mark.parametrize("text", TEXTS)
def test_equals_transformers(folder: Path, text: str) -> None:
    assert read(folder).of(text) == RobertaTokenizer.from_pretrained(folder)(text)["input_ids"]


def test_equals_the_package_and_is_cut_as_there(folder: Path) -> None:
    tokens = read(folder)
    for text, padded in zip(GOLDEN["prompts"].tolist(), GOLDEN["tokens"], strict=True):
        assert tokens.heard(text) == padded[padded != 1].tolist()
    assert tokens.cut(GOLDEN["prompts"].tolist()[-1]) > 0


@pytest.mark.parametrize("words", [0, 74, 75, 76, 200])
def test_what_is_heard_and_what_is_cut_add_up(folder: Path, words: int) -> None:
    tokens, text = read(folder), "a" * words
    heard = tokens.heard(text)
    assert len(tokens.of(text)) == words + 2 == len(heard) + tokens.cut(text)
    assert len(heard) <= MAX_TOKENS
    assert (heard[0], heard[-1]) == (0, 2)


def test_a_mask_swallows_the_space_before_it(folder: Path) -> None:
    """As in transformers 4, which made the published features; transformers 5 keeps the space."""
    assert read(folder).of("a <mask>") == read(folder).of("a<mask>") == [0, *read(folder).of("a")[1:-1], SIZE - 1, 2]


def test_a_lone_surrogate_is_a_question_mark(folder: Path) -> None:
    assert read(folder).of("a\ud800b") == read(folder).of("a?b")


def rewritten(folder: Path, ids: object) -> Path:
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    return folder


def test_a_blank_vocabulary_is_refused(folder: Path) -> None:
    blank = {token: number for number, token in enumerate(("<s>", "<pad>", "</s>", "<unk>", "<mask>"))}
    with pytest.raises(ValueError, match=rf"vocab.json: got 5 tokens, expected {SIZE}, numbered from 0 to {SIZE - 1}"):
        read(rewritten(folder, blank))


def test_a_vocabulary_of_another_table_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=f"vocab.json: got {SIZE} tokens, expected 50265"):
        read(folder, 50_265)


def test_damaged_vocabularies_are_refused(folder: Path) -> None:
    ids, _ = tiny.vocabulary()
    swapped = ids | {"<pad>": 0, "<s>": 1}
    with pytest.raises(
        ValueError, match=r"vocab.json: got {'<s>': 1, '<pad>': 0, .*expected the numbers 0, 1, 2, 3 and"
    ):
        read(rewritten(folder, swapped))
    with pytest.raises(ValueError, match=r"vocab\.json: got"):
        read(rewritten(folder, ids | {"<mask>": 7}))
    with pytest.raises(ValueError, match=r"merges\.txt: not the merges of this vocabulary"):
        read(rewritten(folder, {token: str(number) if token == "a" else number for token, number in ids.items()}))
    (folder / "vocab.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"vocab.json: not JSON"):
        read(folder)


@pytest.mark.parametrize("merges", ["x y z\n", "alone\n", "no pe\n"])
def test_damaged_merges_are_refused(folder: Path, merges: str) -> None:
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    with pytest.raises(ValueError, match=r"merges\.txt: not the merges of this vocabulary"):
        read(folder)


def test_the_published_vocabulary_must_give_known_numbers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = read(folder).of(module.KNOWN_TEXT)[1:-1]
    monkeypatch.setattr(module, "PUBLISHED_SIZE", SIZE)
    with pytest.raises(ValueError, match=r"merges.txt: 'Hello, my dog is cute' becomes \[.*\], expected \[31414, 6,"):
        read(folder)
    monkeypatch.setattr(module, "KNOWN_IDS", known)
    read(folder)
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"merges\.txt: 'Hello, my dog is cute' becomes"):
        read(folder)
