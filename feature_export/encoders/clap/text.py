"""The byte-level tokens of RoBERTa, read from the files of its vocabulary and checked: where transformers 5 does not
find the files it makes a tokenizer of five tokens, without a word."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from tunejury_jax.documents import read_bounded, read_object

__all__ = ["MAX_TOKENS", "Tokens"]

MAX_TOKENS = 77
"""LAION-CLAP's limit, begin and end included."""

MAX_BYTES = 16 << 20
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
BEGIN, END = 0, 2

PUBLISHED_SIZE = 50_265
KNOWN_TEXT, KNOWN_IDS = "Hello, my dog is cute", [31414, 6, 127, 2335, 16, 11962]
"""Of `roberta-base`, as the documentation of transformers has it."""


@dataclass(frozen=True)
class Tokens:
    """Prompts as numbers."""

    tokenizer: Tokenizer

    @classmethod
    def read(cls, vocabulary: Path, merges: Path, size: int) -> "Tokens":
        """Reads `vocab.json` and `merges.txt`.

        Args:
            vocabulary: Number by token.
            merges: Pairs of tokens that are joined, the first ones first.
            size: Rows of the embedding table that the numbers are looked up in.

        Raises:
            ValueError: A file is damaged, or is not the vocabulary of that table.
        """
        ids = read_object(vocabulary, MAX_BYTES)
        _check(vocabulary, ids, size)
        tokens = cls(_tokenizer(ids, merges))
        known = tokens.of(KNOWN_TEXT)[1:-1]
        if size == PUBLISHED_SIZE and known != KNOWN_IDS:
            raise ValueError(f"{merges}: {KNOWN_TEXT!r} becomes {known}, expected {KNOWN_IDS}")
        return tokens

    def of(self, text: str) -> list[int]:
        """All tokens of a text, between begin and end."""
        # A lone surrogate is legal in JSON and must not stop an export; it has no bytes, so "?" stands for it.
        content = self.tokenizer.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False).ids
        return [BEGIN, *content, END]

    def heard(self, text: str) -> list[int]:
        """At most `MAX_TOKENS`: a long text loses its last ones, but not the end."""
        return [*self.of(text)[:-1][: MAX_TOKENS - 1], END]

    def cut(self, text: str) -> int:
        """How many tokens of a text are not heard."""
        return max(0, len(self.of(text)) - MAX_TOKENS)


def _check(vocabulary: Path, ids: dict[str, Any], size: int) -> None:
    if sorted(map(str, ids.values())) != sorted(map(str, range(size))):
        raise ValueError(f"{vocabulary}: got {len(ids)} tokens, expected {size}, numbered from 0 to {size - 1}")
    special = {token: ids.get(token) for token in SPECIAL}
    if tuple(special.values()) != (0, 1, 2, 3, size - 1):
        raise ValueError(f"{vocabulary}: got {special}, expected the numbers 0, 1, 2, 3 and {size - 1}")


def _tokenizer(ids: dict[str, Any], merges: Path) -> Tokenizer:
    lines = read_bounded(merges, MAX_BYTES).decode("utf-8", "replace").splitlines()
    pairs = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    try:
        tokenizer = Tokenizer(BPE(ids, pairs))
    except Exception as error:  # the library has nothing narrower
        raise ValueError(f"{merges}: not the merges of this vocabulary: {error}") from error
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([*SPECIAL[:-1], AddedToken(SPECIAL[-1], lstrip=True)])
    return tokenizer
