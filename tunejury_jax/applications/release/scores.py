"""Scoring a whole collection, by the protocol of the published scores: every track whole, without a prompt."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, runtime_checkable

from tunejury_jax.applications.release.collections import Track
from tunejury_jax.applications.release.fluidsynth import FluidSynth
from tunejury_jax.applications.release.table import ReleaseTable
from tunejury_jax.score_files import AudioFile

__all__ = ["Outcome", "Score", "Scored", "score_release"]

CHUNK = 32


@runtime_checkable
class Scored(Protocol):
    """What came of one file: a reward, or an error."""

    @property
    def id(self) -> str: ...
    @property
    def reward(self) -> float | None: ...
    @property
    def error(self) -> str | None: ...


Score = Callable[[Sequence[AudioFile]], Iterable[Scored]]
"""Scores some files, in any order; every file gets an answer."""


@dataclass
class Outcome:
    """How the scoring of a collection went.

    Attributes:
        before: Tracks that were in the table already.
        scored: Tracks that were added to it.
        failures: Track id -> why it has no score; these are tried again by the next call.
    """

    before: int = 0
    scored: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def score_release(
    tracks: Sequence[Track],
    score: Score,
    table: ReleaseTable,
    synthesiser: FluidSynth | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Outcome:
    """Scores the tracks that a table does not have yet, and adds them to it.

    Args:
        tracks: Of a collection.
        score: Is given a few files at a time.
        table: Where the scores go.
        synthesiser: Makes audio of files that hold notes; it is scored and deleted.
        advance: Is told how many tracks are done since the last call.

    Raises:
        ValueError: `score` did not answer for every file, or for another one.
    """
    todo = [track for track in tracks if track.id not in table.done]
    outcome = Outcome(before=len(tracks) - len(todo))
    for start in range(0, len(todo), CHUNK):
        chunk = {track.id: track for track in todo[start : start + CHUNK]}
        with _audio(chunk.values(), synthesiser, outcome) as files:
            for row in _answers(score, files):
                _take(row, chunk[row.id], table, outcome)
                advance(1)
    return outcome


def _take(row: Scored, track: Track, table: ReleaseTable, outcome: Outcome) -> None:
    if row.reward is None:
        outcome.failures[row.id] = row.error or "no reason given"
    else:
        table.add(row.id, row.reward, track.columns)
        outcome.scored += 1


def _answers(score: Score, files: Sequence[AudioFile]) -> Iterator[Scored]:
    left = {file.id for file in files}
    for row in score(files) if files else ():
        if row.id not in left:
            raise ValueError(f"score: answered for {row.id!r}, which it was not asked about")
        left.remove(row.id)
        yield row
    if left:
        raise ValueError(f"score: did not answer for {sorted(left)}")


@contextmanager
def _audio(tracks: Iterable[Track], synthesiser: FluidSynth | None, outcome: Outcome) -> Iterator[list[AudioFile]]:
    """The tracks' audio files; those that a synthesiser makes are there for as long as the block runs."""
    if synthesiser is None:
        yield [AudioFile(track.id, track.path) for track in tracks]
        return
    with TemporaryDirectory(prefix="tunejury-") as folder:
        yield list(_rendered(tracks, synthesiser, Path(folder), outcome))


def _rendered(tracks: Iterable[Track], synthesiser: FluidSynth, folder: Path, outcome: Outcome) -> Iterator[AudioFile]:
    for number, track in enumerate(tracks):
        wav = folder / f"{number}.wav"
        try:
            synthesiser.render(track.path, wav)
        except ValueError as error:
            outcome.failures[track.id] = str(error)
        else:
            yield AudioFile(track.id, wav)
