"""Tokenizers made on the spot: any text encodes, character by character, and nothing is looked for on a hub.

A backbone saves the one it needs with `save_pretrained`, as the published folders hold theirs.
"""

import string

from tokenizers import Tokenizer, decoders, models
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast, RobertaTokenizer, T5Tokenizer

__all__ = ["clap_tokenizer", "qwen_tokenizer", "roberta_tokenizer", "t5_tokenizer"]

CHARACTERS = string.ascii_letters + string.digits + ",.'-!?\""


def t5_tokenizer(max_length: int = 77) -> T5Tokenizer:
    """Of the concrete class of T5 and FLAN-T5: `</s>` ends a text, number 0 pads it, other characters are unknown."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    return T5Tokenizer(
        vocab=[*pieces, *((character, -3.0) for character in CHARACTERS)], extra_ids=0, model_max_length=max_length
    )


def roberta_tokenizer(max_length: int = 77) -> RobertaTokenizer:
    """Of the concrete class of RoBERTa: bytes between `<s>` (0) and `</s>` (2), padded with 1."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *_bytes()]
    return RobertaTokenizer(vocab=_numbered(tokens), merges=[], model_max_length=max_length)


clap_tokenizer = roberta_tokenizer
"""CLAP reads its prompts as RoBERTa does."""


def qwen_tokenizer(max_length: int = 256) -> PreTrainedTokenizerFast:
    """Bytes and nothing around them, as Qwen's; `<|endoftext|>` (0) ends and pads."""
    end = "<|endoftext|>"
    inner = Tokenizer(models.BPE(vocab=_numbered([end, *_bytes()]), merges=[]))
    inner.pre_tokenizer = ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=max_length, pad_token=end, eos_token=end)


def _bytes() -> list[str]:
    return sorted(ByteLevel.alphabet())


def _numbered(tokens: list[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokens)}
