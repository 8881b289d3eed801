"""A block of prompts through the text encoders, one at a time: neighbours of another length change an embedding."""

from collections.abc import Callable, Mapping

from feature_export.encoders import Stack
from feature_export.export.rows import Rows

__all__ = ["encode_prompts"]


def encode_prompts(
    prompts: Mapping[int, str], stack: Stack, rows: Rows, on_rows: Callable[[int], None]
) -> dict[str, dict[str, int]]:
    """Fills the rows of a block.

    Args:
        prompts: By row of the table.
        stack: Whose text encoders read them.
        rows: Where the features go.
        on_rows: Is called with the number of rows done since the last call.

    Returns:
        By block and row, as a commit names it, how many tokens at its end an encoder did not read.
    """
    cut: dict[str, dict[str, int]] = {encoder.block.name: {} for encoder in stack.text}
    for row, prompt in prompts.items():
        try:
            rows.put(row, stack.embed_prompt(prompt))
            for name, count in stack.cut_tokens(prompt).items():
                if count:
                    cut[name][str(row)] = count
        except (ValueError, RuntimeError) as error:
            rows.fail(row, str(error) or type(error).__name__)
        on_rows(1)
    return cut
