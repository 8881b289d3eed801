"""The tokens of XLM-RoBERTa, read from `tokenizer.json` and checked: transformers 5 makes a tokenizer of five tokens,
without a word, where it does not find the file."""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from tunejury_jax.documents import read_bounded

__all__ = ["PAD", "Tokens"]

MAX_BYTES = 64 << 20
BEGIN, PAD, END = 0, 1, 2


@dataclass(frozen=True)
class Tokens:
    """Prompts as numbers.

    Attributes:
        tokenizer: Without padding and without a limit.
        limit: Most tokens the network hears, with those for begin and end.
    """

    tokenizer: Tokenizer
    limit: int

    @classmethod
    def read(cls, path: Path, size: int, limit: int) -> "Tokens":
        """Reads a tokenizer.

        Args:
            path: `tokenizer.json`.
            size: Rows of the embedding table that the tokens are looked up in.
            limit: Most tokens the network hears.

        Raises:
            ValueError: The file is damaged, or is not the tokenizer of that table.
        """
        tokenizer = _read(path)
        ids = tokenizer.get_vocab()
        if sorted(ids.values()) != list(range(size)):
            raise ValueError(f"{path}: {len(ids)} tokens, expected the numbers from 0 to {size - 1} once each")
        if tokenizer.encode("").ids != [BEGIN, END]:
            raise ValueError(f"{path}: an empty text is {tokenizer.encode('').ids}, expected {[BEGIN, END]}")
        return cls(tokenizer, limit)

    def heard(self, text: str) -> list[int]:
        """At most `limit` tokens: what is too long loses tokens before the end."""
        return [*self._all(text)[:-1][: self.limit - 1], END]

    def cut(self, text: str) -> int:
        """How many tokens of a text are not heard."""
        return max(0, len(self._all(text)) - self.limit)

    def _all(self, text: str) -> list[int]:
        # A lone surrogate is legal in JSON and must not stop an export; it has no bytes, so it is read as "?".
        return self.tokenizer.encode(text.encode("utf-8", "replace").decode()).ids


def _read(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_buffer(read_bounded(path, MAX_BYTES))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{path}: not a tokenizer: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
