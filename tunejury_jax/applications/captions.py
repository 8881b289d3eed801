"""What clips were made for, as a text encoder is to read it."""

from collections.abc import Sequence
from pathlib import Path

from tunejury_jax.applications.prompts import read_prompts
from tunejury_jax.score_files import AudioFile

__all__ = ["with_captions"]


def with_captions(files: Sequence[AudioFile], prompts: Path | None, prefix: str) -> list[AudioFile]:
    """The files with the captions they were made for as `prompt`.

    Args:
        files: With a prompt from a manifest, or named `{prompt_id}_c{c}` and a suffix.
        prompts: Prompts by id, for files that have none of their own.
        prefix: Taken off captions that begin with it: a generator was given it, listeners were not.

    Raises:
        ValueError: Files have no caption; counts them and names the first.
    """
    texts = {prompt.id: prompt.text for prompt in read_prompts(prompts)} if prompts else {}
    found = [file.prompt or texts.get(file.path.stem.rpartition("_c")[0], "") for file in files]
    captions = [caption.removeprefix(prefix).strip() for caption in found]
    without = [file.id for file, caption in zip(files, captions, strict=True) if not caption]
    if without:
        accepted = "a prompt in the manifest, or a name {prompt_id}_c{c} and its prompt among --prompts"
        raise ValueError(
            f"captions: {len(without)} of {len(files)} clips have none, the first is {without[0]}; expected {accepted}"
        )
    return [file._replace(prompt=caption) for file, caption in zip(files, captions, strict=True)]
