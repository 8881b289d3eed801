"""Prompts as the states of a T5 encoder."""

import warnings

from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase, T5EncoderModel

__all__ = ["t5_states"]


def t5_states(
    encoder: T5EncoderModel, tokenizer: PreTrainedTokenizerBase, prompt: str, tokens: int, padded: bool = False
) -> tuple[Float[Tensor, "tokens dim"], Bool[Tensor, " tokens"]]:
    """What the encoder makes of one prompt.

    Args:
        encoder: Of T5.
        tokenizer: Of the encoder.
        prompt: Is cut to `tokens`, with a warning.
        tokens: How many a prompt may have.
        padded: To `tokens`.

    Returns:
        A state a token, and which of the tokens are the prompt's and not padding.
    """
    length = len(tokenizer(prompt, verbose=False)["input_ids"])
    if length > tokens:
        warnings.warn(f"prompt: {length} tokens, only the first {tokens} are read: {prompt[:60]!r}...", stacklevel=2)
    padding = "max_length" if padded else False
    read = tokenizer(prompt, max_length=tokens, truncation=True, padding=padding, return_tensors="pt")
    own = read["attention_mask"].to(encoder.device)
    states = encoder(input_ids=read["input_ids"].to(encoder.device), attention_mask=own).last_hidden_state
    return states[0], own[0].bool()
