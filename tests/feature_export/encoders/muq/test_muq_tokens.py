"""The tokens of XLM-RoBERTa: the right tokenizer or none, and prompts cut at the table of positions."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from feature_export.encoders.muq.encoder import MuqText
from feature_export.encoders.muq.tokens import Tokens
from tests.tiny_weights import muq as tiny

LIMIT = 64


def test_a_prompt_is_cut_at_the_positions_and_keeps_its_end(text: MuqText) -> None:
    words = 100
    heard = text.tokens.heard("piano " * words)
    assert (text.tokens.limit, len(heard)) == (LIMIT, LIMIT)
    assert (heard[0], heard[-1], len(set(heard[1:-1]))) == (0, 2, 1)
    assert text.cut_tokens("piano " * words) == words + 2 - LIMIT
    assert text.embed("piano " * words).equal(text.embed("piano " * 62))


@pytest.mark.parametrize(("words", "cut"), [(1, 0), (61, 0), (62, 0), (63, 1)])
def test_how_many_tokens_are_cut(text: MuqText, words: int, cut: int) -> None:
    assert text.cut_tokens("calm " * words) == cut
    assert len(text.tokens.heard("calm " * words)) == min(LIMIT, words + 2)


def test_a_lone_surrogate_is_a_question_mark(text: MuqText) -> None:
    assert text.tokens.heard("calm \ud800") == text.tokens.heard("calm ?")


def test_what_a_file_says_about_padding_and_length_does_not_count(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokens = Tokens.read(tmp_path / "tokenizer.json", tokenizer.get_vocab_size(), LIMIT)
    assert tokens.heard("calm piano with strings") == tiny.tokenizer().encode("calm piano with strings").ids


def blank() -> Tokenizer:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    return Tokenizer(models.Unigram([(token, 0.0) for token in special], unk_id=3, byte_fallback=False))


def without_ends() -> Tokenizer:
    tokenizer = tiny.tokenizer()
    tokenizer.post_processor = None
    return tokenizer


def with_a_gap() -> Tokenizer:
    tokenizer = tiny.tokenizer()
    vocabulary = {token: number for token, number in tokenizer.get_vocab().items() if token != "<mask>"}
    return Tokenizer(models.WordLevel(vocabulary | {"gap": 100}, "<unk>"))


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (blank(), "5 tokens, expected the numbers from 0 to 76 once each"),
        (with_a_gap(), "77 tokens, expected the numbers from 0 to 76 once each"),
        (without_ends(), r"an empty text is \[\], expected \[0, 2\]"),
    ],
)
def test_another_tokenizer_is_refused(tmp_path: Path, tokenizer: Tokenizer, message: str) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    with pytest.raises(ValueError, match=f"tokenizer.json: {message}"):
        Tokens.read(path, tiny.tokenizer().get_vocab_size(), LIMIT)


@pytest.mark.parametrize("content", ["", "{}", "not json"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"tokenizer.json: not a tokenizer: "):
        Tokens.read(path, 77, LIMIT)
