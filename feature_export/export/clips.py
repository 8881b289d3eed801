"""A block of clips through all audio encoders."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from feature_export.encoders import Stack, WindowedEncoder
from feature_export.encoders.stack import require_finite
from feature_export.export.batches import Batches
from feature_export.export.limits import Limits
from feature_export.export.rows import Rows
from feature_export.preparation import Prepared

__all__ = ["EncodedClips", "encode_clips"]


class EncodedClips(NamedTuple):
    """Digests of the files of a block, and how often a batch did not fit the memory."""

    audio_sha256: list[str | None]
    halved: int


def encode_clips(
    numbers: range,
    prepared: Iterable[Prepared],
    stack: Stack,
    limits: Limits,
    rows: Rows,
    on_rows: Callable[[int], None],
) -> EncodedClips:
    """Fills the rows of a block.

    Args:
        numbers: Of the rows in the table.
        prepared: Their clips, in order.
        stack: Its encoders with a network are run; what the others made comes with the clips.
        limits: `batch_s` and `memory_bytes` are read.
        rows: Where the features go.
        on_rows: Is called with the number of rows done since the last call.
    """
    named = {each.block.name: each for each in stack.audio_encoders if isinstance(each, WindowedEncoder)}
    share = limits.memory_bytes // 2 // max(len(named), 1)
    batches = {name: Batches(encoder, limits.batch_on(stack.device), share) for name, encoder in named.items()}
    clips: dict[int, Prepared] = {}
    done = 0
    for number, clip in zip(numbers, prepared, strict=True):
        clips[number] = clip._replace(windows={})  # they go as soon as they are heard
        for name, windows in clip.windows.items():
            batches[name].add(number, windows)
        before, done = done, len(clips) - max((each.waiting for each in batches.values()), default=0)
        on_rows(done - before)
    for each in batches.values():
        each.finish()
    on_rows(len(clips) - done)
    for number, clip in clips.items():
        heard = {name: each.results[number] for name, each in batches.items() if number in each.results}
        _fill(rows, number, clip, heard)
    return EncodedClips([clip.audio_sha256 for clip in clips.values()], sum(each.halved for each in batches.values()))


def _fill(rows: Rows, number: int, clip: Prepared, results: Mapping[str, Float[np.ndarray, " _"] | str]) -> None:
    reasons = [result for result in results.values() if isinstance(result, str)]
    if clip.reason is not None or reasons:
        rows.fail(number, clip.reason if clip.reason is not None else reasons[0])
        return
    features = {**clip.embedded, **{name: value for name, value in results.items() if not isinstance(value, str)}}
    try:
        require_finite(features, clip.peak)
    except ValueError as error:
        rows.fail(number, str(error))
    else:
        rows.put(number, features)
