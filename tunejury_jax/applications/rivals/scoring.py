"""Scoring files with any scorer, a line a clip in a file that a killed run goes on with."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from feature_export.audio import load, mono
from feature_export.resample import resample
from tunejury_jax.applications.rivals.protocol import Clip, RivalScorer
from tunejury_jax.documents import parse_object
from tunejury_jax.score_files import AudioFile

__all__ = ["ScoreClips", "Scored", "by_rival", "score_clips", "score_one"]

BATCH = 8
MAX_LINE_BYTES = 1 << 20


class Scored(NamedTuple):
    """What came of one clip: a score, or why there is none."""

    score: float | None
    error: str | None = None


ScoreClips = Callable[[Sequence[AudioFile]], Iterable[Scored]]
"""Scores some files, each with its prompt, in their order."""


def score_clips(
    files: Sequence[AudioFile], score: ScoreClips, out: Path, settings: dict[str, Any], on_clip: Callable[[], None]
) -> list[Scored]:
    """Scores files that `out` does not have yet, and appends a line each.

    Args:
        files: Each with its prompt.
        score: The scorer.
        out: JSON lines; the first says which scorer this is.
        settings: What the first line must say, for example the scorer's name.
        on_clip: Is called for every clip that is done.

    Returns:
        What is known of all files, in their order.

    Raises:
        ValueError: `out` is of another scorer, or of other clips or prompts.
    """
    wanted = [{"id": file.id, "path": str(file.path), "span_s": file.span_s, "prompt": file.prompt} for file in files]
    known = _resume(out, settings, wanted)
    with out.open("a", encoding="utf-8") as lines:
        if not lines.tell():
            lines.write(json.dumps(settings) + "\n")
        for _ in known:
            on_clip()
        rest = files[len(known) :]
        for asked, found in zip(wanted[len(known) :], score(rest) if rest else (), strict=True):
            lines.write(json.dumps({**asked, **found._asdict()}) + "\n")
            lines.flush()
            known.append(found)
            on_clip()
    return known


def by_rival(rival: RivalScorer) -> ScoreClips:
    """Decodes, mixes to mono and resamples as everything here does, and gives the rival a few clips at a time."""

    def score(files: Sequence[AudioFile]) -> Iterator[Scored]:
        for start in range(0, len(files), BATCH):
            yield from _scored(rival, files[start : start + BATCH])

    return score


def score_one(rival: RivalScorer) -> Callable[[Path, str], float]:
    """Scores one file under a prompt; a scorer that reads none hears the file once for all its prompts."""

    @lru_cache(1)
    def score(path: Path, prompt: str) -> float:
        (found,) = _scored(rival, [AudioFile(path.name, path, prompt)])
        if found.score is None:
            raise ValueError(found.error)
        return found.score

    return score if rival.reads_prompts else lambda path, prompt: score(path, "")


def _scored(rival: RivalScorer, files: Sequence[AudioFile]) -> list[Scored]:
    heard = [_heard(file, rival.sample_rate_hz) for file in files]
    good = [(clip, file.prompt or "") for clip, file in zip(heard, files, strict=True) if not isinstance(clip, str)]
    scores = iter(_together(rival, good))
    return [Scored(None, clip) if isinstance(clip, str) else next(scores) for clip in heard]


def _heard(file: AudioFile, sample_rate_hz: int) -> Clip | str:
    """The clip, or why it cannot be heard."""
    try:
        wave = load(file.path, file.span_s)
        return resample(mono(wave), wave.sample_rate_hz, sample_rate_hz)
    except ValueError as error:
        return str(error)


def _together(rival: RivalScorer, clips: Sequence[tuple[Clip, str]]) -> list[Scored]:
    """Scores of a batch; where it fails, one by one, so that a bad clip takes no other with it."""
    if not clips:
        return []
    try:
        scores = rival.score_batch(*zip(*clips, strict=True))
        return [_checked(rival, score) for score in scores]
    except (ValueError, RuntimeError, AssertionError) as error:
        if len(clips) == 1:
            return [Scored(None, f"{rival.name}: {error}")]
        return [scored for clip in clips for scored in _together(rival, [clip])]


def _checked(rival: RivalScorer, score: float) -> Scored:
    return Scored(score) if math.isfinite(score) else Scored(None, f"{rival.name}: the score is {score}")


def _resume(out: Path, settings: dict[str, Any], wanted: Sequence[dict[str, Any]]) -> list[Scored]:
    if not out.exists():
        return []
    whole = [line for line in out.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    with out.open("rb+") as file:
        file.truncate(sum(map(len, whole)))
    rows = [parse_object(line, f"{out}: line {number}", MAX_LINE_BYTES) for number, line in enumerate(whole, 1)]
    if rows and rows[0] != json.loads(json.dumps(settings)):
        raise ValueError(f"{out}: is of {rows[0]}, now {settings}; name another folder")
    if len(rows) - 1 > len(wanted):
        raise ValueError(f"{out}: has more clips than this run; name another folder")
    return [_known(out, row, asked) for row, asked in zip(rows[1:], wanted, strict=False)]


def _known(out: Path, row: dict[str, Any], asked: dict[str, Any]) -> Scored:
    if {name: row.get(name) for name in asked} != json.loads(json.dumps(asked)):
        raise ValueError(f"{out}: has {row.get('id')!r} where this run has {asked['id']!r}, or with another prompt")
    return Scored(row["score"], row["error"])
